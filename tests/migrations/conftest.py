"""A database, settings that point to it, and a directory of policy revisions, new for each test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cdc_masker.settings import Settings, load
from cdc_masker.stack import Database
from tests.migrations.kit import Revisions, query


@pytest.fixture
def database(fresh_database: Callable[[str], Database]) -> Database:
    return fresh_database("catalog")


@pytest.fixture
def settings(database: Database) -> Settings:
    return load(database_url=database.dsn, database_ssl="disable")


@pytest.fixture
def login(database: Database, settings: Settings, unique: Callable[[str], str]) -> Callable[[str], str]:
    """Makes a login role with one of the catalog's roles, and gives its address."""

    def make(role: str) -> str:
        name = unique(role)
        query(
            database.dsn,
            f"CREATE ROLE {name} LOGIN PASSWORD 'pw' IN ROLE {settings.database_schema}_{role}",
            "SELECT 1",
        )
        return database.dsn_of(name, "pw")

    return make


@pytest.fixture
def revisions(tmp_path: Path) -> Revisions:
    """Two revisions: `one` tokenizes and keeps a column, `two` forgets the kept one."""
    directory = tmp_path / "policies"
    directory.mkdir()
    written = Revisions(directory)
    written.write(
        "one",
        None,
        """
        op.declare_domain("email", type="text")
        op.allow_header("trace")
        op.shape_topic("routed", shape="flattened", table="crm.customers", reason='a "router"', ticket="T-1")
        op.shape_topic("before", shape="signals", ticket="ünï")
        op.default_table("crm.old", "drop", server="shop", reason="nobody reads it")
        op.default_table("crm.older", "quarantine")
        op.mask_column("crm.customers", "email", method="tokenize", type="text", domain="email", reason='a "join" key')
        op.keep_column('"Crm"."Type Zoo"', "It's", reason="100% harmless: \\\\ ; \\t $$ ünï 💥 :bind %(bind)s")
        """,
    )
    written.write("two", "one", """op.forget_column(("Crm", "Type Zoo"), "It's")""")
    return written
