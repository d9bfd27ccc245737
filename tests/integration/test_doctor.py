"""The doctor at the bed of a real Kafka Connect and a real broker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cdc_masker.catalog import commands
from cdc_masker.connect import Connector
from cdc_masker.settings import PREFIX, load
from cdc_masker.stack import Stack
from demo import shop
from tests.integration.kit import until

pytestmark = pytest.mark.stack

PROGRAM = Path(sys.executable).with_name("cdc-masker")


def test_what_leaks_or_loses_around_a_worker_is_found(stack: Stack, unique: Callable[[str], str]) -> None:
    name = unique("doctor")
    shop.create(stack, name)
    ours = stack.environment(name) | {
        f"{PREFIX}{setting}": name for setting in ("CONNECTOR_NAME", "SOURCE_SERVER", "SOURCE_SLOT", "SOURCE_PUBLICATION")
    }
    catalog = stack.create_database(unique("catalog"))
    ours |= {f"{PREFIX}SOURCE_URL": ours[f"{PREFIX}DATABASE_URL"], f"{PREFIX}SOURCE_TOPICS": rf"{name}\.crm\..*"}
    schema = unique("masking")  # and so roles of its own, of which nobody else is a member
    ours |= {f"{PREFIX}DATABASE_URL": catalog.dsn, f"{PREFIX}DATABASE_SCHEMA": schema}
    loaded = load(**{key.removeprefix(PREFIX).lower(): value for key, value in ours.items()})
    commands.upgrade(loaded)
    Connector(loaded).apply(90)
    harmless = {
        ("warning", "CDC_MASKER_DATABASE_URL"),  # all of this as the superuser
        ("warning", "CDC_MASKER_POLICY_KEY_FILE"),
        ("warning", "brokers: authorizer.class.name"),
    }
    until(lambda: _found(ours) == (0, harmless), 60, lambda: _found(ours), every=1)  # topics come with their first record

    Connector(loaded, {"errors.log.include.messages": "true"}).apply(90)
    stack.sql(f"ALTER TABLE crm.customers REPLICA IDENTITY NOTHING; ALTER PUBLICATION {name} SET (publish = 'insert')", name)
    stack.sql(
        f"DROP EVENT TRIGGER {schema}_guard_alter; ALTER TABLE {schema}.policy_rule DISABLE TRIGGER append_only; "
        f"GRANT UPDATE ON {schema}.policy_rule TO {schema}_worker; CREATE ROLE {name} LOGIN IN ROLE {schema}_owner; "
        f"ALTER FUNCTION {schema}.release_policy SECURITY INVOKER",
        catalog.name,
    )
    assert _found(ours) == (
        1,
        harmless
        | {
            ("error", "connector: errors.log.include.messages"),
            ("error", f"catalog: {schema}.policy_rule"),
            ("error", "catalog: policy_rule"),
            ("error", "catalog: function release_policy"),
            ("warning", f"catalog: role {name}"),
            ("warning", "catalog: guard"),
            ("error", f"source: publication {name}"),
            ("warning", "source: table crm.customers"),
        },
    )
    stack.sql(f"DROP PUBLICATION {name}", name)
    assert ("error", f"source: publication {name}") in _found(ours)[1]


def _found(settings: dict[str, str]) -> tuple[int, set[tuple[str, str]]]:
    """Exit code, and the severity and place of each finding."""
    done = subprocess.run(
        [PROGRAM, "doctor", "--json"], env={**os.environ, **settings}, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, {(each["severity"], each["place"]) for each in json.loads(done.stdout)}
