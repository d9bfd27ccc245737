"""Drafts for a rental shop and for the zoo of types: written, applied to a catalog, and checked against the source again.

`python -m tests.source.test_drafts` writes the golden draft of the rental shop anew.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from cdc_masker.catalog import commands, open_catalog
from cdc_masker.policies import Policy, Rule
from cdc_masker.settings import load
from cdc_masker.stack import Database, Stack
from tests.source.kit import execute, run
from tests.zoo.tables import TABLES

pytestmark = pytest.mark.stack

HOME = Path(__file__).parent
GOLDEN = HOME / "rental.draft"
RENTAL = (HOME / "rental.sql").read_text()
PUBLICATION = "CREATE PUBLICATION cdc_masker FOR TABLES IN SCHEMA {}"


@pytest.fixture
def catalog(fresh_database: Callable[[str], Database]) -> Database:
    return fresh_database("catalog")


@pytest.fixture(scope="module")
def rental(fresh_database: Callable[[str], Database]) -> Database:
    made = fresh_database("rental")
    execute(made, RENTAL, PUBLICATION.format("rental"))
    return made


@pytest.fixture(scope="module")
def zoo(fresh_database: Callable[[str], Database]) -> Database:
    made = fresh_database("zoo_source")
    execute(made, *TABLES, PUBLICATION.format("zoo"))
    return made


def applied(catalog: Database, directory: Path) -> Policy:
    """The policy in force after the revisions of a directory."""
    settings = load(database_url=catalog.dsn, database_ssl="disable")
    commands.upgrade(settings, directory)

    async def current() -> Policy:
        async with open_catalog(settings) as opened:
            return await opened.policies.current()

    return asyncio.run(current())


def rules(policy: Policy) -> dict[str, Rule]:
    return {f"{rule.table}.{rule.column}": rule for rule in policy.rules}


def test_the_draft_for_a_rental_shop_is_what_somebody_reviewed(rental: Database, tmp_path: Path) -> None:
    done = run(rental, "policy", "draft", "--policies", str(tmp_path), "--dry-run")
    assert (done.code, done.err) == (0, "")
    assert done.out == GOLDEN.read_text()
    assert "canary" not in done.out
    assert list(tmp_path.iterdir()) == []


def test_it_is_applied_and_decides_on_every_column_as_a_reviewer_would(
    rental: Database, catalog: Database, tmp_path: Path
) -> None:
    undecided = run(rental, "policy", "check", "--source", "--policy", str(tmp_path))
    assert undecided.code == 1
    assert undecided.out.count("UNDECIDED rental.") == 94
    written = run(rental, "policy", "draft", "--policies", str(tmp_path))
    assert (written.code, written.err) == (0, "")
    assert Path(written.out.strip()).read_text() == GOLDEN.read_text()
    policy = applied(catalog, tmp_path)
    done = run(rental, "policy", "check", "--source", catalog=catalog)
    assert (done.code, done.out.splitlines()[-1]) == (0, "94 columns of 16 tables: 0 findings, 0 warnings")
    again = run(rental, "policy", "draft", "--policies", str(tmp_path))
    assert (again.code, again.out) == (0, "")
    assert "nothing to draft" in again.err

    of = rules(policy)
    assert {each.method for each in policy.rules} == {"tokenize", "encrypt", "redact"}
    # People: what names them is hidden, what is looked up by equal values is a token.
    for name in (
        "customer.first_name",
        "staff.last_name",
        "address.phone",
        "address.address",
        "staff.password",
        "staff.picture",
    ):
        assert of[name].method == "redact"
    for name in ("customer.email", "staff.email", "staff.username"):
        assert (of[name].method, of[name].params) == ("tokenize", {})
    # Keys join over the tables that refer to them: by way of others, in a circle, from partitions, and from smaller integers.
    for name, key in (
        ("rental.customer_id", "customer.customer_id"),
        ("payment_2026_01.customer_id", "customer.customer_id"),
        ("payment_2026_02.rental_id", "rental.rental_id"),
        ("store.manager_staff_id", "staff.staff_id"),
        ("staff.store_id", "store.store_id"),
        ("rental.inventory_id", "inventory.inventory_id"),
        ("film_actor.film_id", "film.film_id"),
    ):
        assert (of[name].method, of[name].params) == (of[key].method, of[key].params)
        assert of[key].params == {"domain": f"rental.{key}"}
    assert {each.name: each.type for each in policy.domains} == {"rental.inventory.inventory_id": "bigint"}
    # A row that moves to another partition keeps its key.
    for name in ("payment_id", "payment_date"):
        one, other = (of[f"payment_2026_0{number}.{name}"] for number in (1, 2))
        assert (one.method, one.params) == (other.method, other.params)
    # What is computed from hidden columns is hidden.
    assert of["customer.full_name"].method == of["film.fulltext"].method == "redact"
    # What few values tell gets no token unless rows would be lost; a unique index that no longer holds is said.
    assert of["film.rating"].method == of["customer.activebool"].method == "redact"
    assert of["language.language_id"].allow_small_domain
    assert of["rental.rental_date"].allow_uniqueness_loss


def test_what_happens_to_the_source_later_is_found(fresh_database: Callable[[str], Database], tmp_path: Path) -> None:
    source = fresh_database("drifting")
    execute(source, RENTAL, PUBLICATION.format("rental"))
    assert run(source, "policy", "draft", "--policies", str(tmp_path)).code == 0
    execute(
        source,
        "ALTER TABLE rental.customer ADD COLUMN birthday date, ALTER COLUMN active TYPE bigint",
        "ALTER TABLE rental.staff RENAME COLUMN username TO login",
        "CREATE UNIQUE INDEX phones ON rental.address (phone)",
        "CREATE TABLE rental.loyalty (customer_id integer PRIMARY KEY REFERENCES rental.customer, points integer)",
    )
    done = run(source, "policy", "check", "--source", "--policy", str(tmp_path), "--json")
    report = json.loads(done.out)
    assert done.code == 1
    assert [(each["word"], f"{each['table']}.{each['column']}") for each in report["findings"]] == [
        ("lossy", "address.phone"),
        ("retyped", "customer.active"),
        ("undecided", "customer.birthday"),
        ("undecided", "loyalty.customer_id"),
        ("undecided", "loyalty.points"),
        ("undecided", "staff.login"),
        ("gone", "staff.username"),
    ]
    drafted = run(source, "policy", "draft", "--policies", str(tmp_path), "--message", "Decide on loyalty")
    text = Path(drafted.out.strip()).read_text()
    assert [line.partition(":")[0] for line in drafted.err.splitlines()] == [
        "LOSSY rental.address.phone",
        "RETYPED rental.customer.active",
        "GONE rental.staff.username",
    ]
    assert text.startswith('"""Decide on loyalty\n')
    assert text.count("op.mask_column(") == 4
    assert 'domain="rental.customer.customer_id",' in text
    assert re.search(r'^down_revision = "[0-9a-f]{12}"$', text, re.MULTILINE)
    assert run(source, "policy", "draft", "--policies", str(tmp_path)).out == ""


def test_a_sample_tells_what_names_do_not_and_is_not_written(fresh_database: Callable[[str], Database], tmp_path: Path) -> None:
    source = fresh_database("sampled")
    execute(
        source,
        "CREATE SCHEMA crm",
        "CREATE TABLE crm.leads (id integer PRIMARY KEY, contact text)",
        "INSERT INTO crm.leads SELECT n, 'canary' || n || '@example.com' FROM generate_series(1, 20) n",
        PUBLICATION.format("crm"),
    )
    plain = run(source, "policy", "draft", "--policies", str(tmp_path), "--dry-run")
    looked = run(source, "policy", "draft", "--policies", str(tmp_path), "--dry-run", "--sample", "10")
    assert "email" not in plain.out
    assert 'classification="email"' in looked.out
    assert "10 of 10 sampled values" in looked.out
    assert "canary" not in plain.out + looked.out + looked.err


def test_the_zoo_of_types_is_drafted_applied_and_complete(zoo: Database, catalog: Database, tmp_path: Path) -> None:
    assert run(zoo, "policy", "draft", "--policies", str(tmp_path)).code == 0
    policy = applied(catalog, tmp_path)
    done = run(zoo, "policy", "check", "--source", catalog=catalog)
    assert done.code == 0, done.out
    of = rules(policy)
    assert {of[f"keys.{name}"].method for name in ("date", "boolean", "bytea", "smallint", "timetz")} == {"encrypt"}
    assert {of[f"keys.{name}"].method for name in ("uuid", "bigint", "text", "enum", "numeric")} == {"tokenize"}
    assert {rule.method for rule in policy.rules if rule.table == "Type Zoo" and rule.column != "id"} == {"redact"}
    assert of["indexed.email"].method == of["indexed.id"].method == "tokenize"
    assert of["Größe.Straße Nr."].method == "tokenize"
    assert of["parts_old.id"].params == of["parts_new.id"].params == {"domain": "zoo.parts.id"}


def test_what_can_not_be_drafted_is_told(rental: Database, tmp_path: Path) -> None:
    done = run(rental, "policy", "draft", "--policies", str(tmp_path / "nowhere"))
    assert (done.code, done.out) == (2, "")
    assert "is not a directory of policy revisions" in done.err
    names = ("revision", "down_revision", "branch_labels", "depends_on")
    for name, parent in (("one", None), ("two", "one"), ("three", "one")):
        labels = ("policy", "catalog") if parent is None else (None, None)
        head = "".join(f"{one} = {value!r}\n" for one, value in zip(names, (name, parent, *labels), strict=True))
        (tmp_path / f"{name}.py").write_text(f"{head}def upgrade():\n    pass\n")
    done = run(rental, "policy", "draft", "--policies", str(tmp_path))
    assert done.code == 2
    assert "several newest revisions, three, two; merge them" in done.err
    both = run(rental, "policy", "check", "some.topic", "--source")
    assert both.code == 2


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as home, Stack(Path(home) / "stack") as stack:
        stack.up("postgres")
        source = stack.create_database("rental")
        execute(source, RENTAL, PUBLICATION.format("rental"))
        GOLDEN.write_text(run(source, "policy", "draft", "--policies", home, "--dry-run").out)
        stack.wipe()
