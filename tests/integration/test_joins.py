"""Joins on the real stack: columns tokenized in one domain join as the raw ones do, and those in two domains never."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cdc_masker import settings
from cdc_masker.catalog.commands import upgrade
from cdc_masker.connect import Connector
from cdc_masker.keys import new_keyring, write
from cdc_masker.stack import Stack
from tests.integration.kit import Deployment, until
from tests.migrations.kit import Revisions

pytestmark = pytest.mark.stack

TABLES = """
create schema crm;
create table crm.people (id bigint primary key, mail text, phone text, account uuid, city text);
create table crm.visits (number int primary key, person int, mail varchar(80), phone text, account text, city text);
insert into crm.people
  select n, 'Person.' || n % 40 || '@example.com', '+49 555 ' || n, md5(n::text)::uuid, 'City ' || n % 7
  from generate_series(1, 50) as n;
insert into crm.visits
  select n, n % 60, 'person.' || n % 45 || '@EXAMPLE.com', '+49 555 ' || n, upper(md5((n % 30)::text)::uuid::text),
    'City ' || n % 7
  from generate_series(1, 100) as n;
"""
POLICY = """
op.declare_domain("person", type="int8")
op.declare_domain("mail", type="text", fold_case=True)
op.declare_domain("account", type="uuid")
op.mask_column("crm.people", "id", method="tokenize", type="int8", domain="person")
op.mask_column("crm.visits", "person", method="tokenize", type="int4", domain="person")
op.mask_column("crm.people", "mail", method="tokenize", type="text", domain="mail")
op.mask_column("crm.visits", "mail", method="tokenize", type="varchar", domain="mail")
op.mask_column("crm.people", "account", method="tokenize", type="uuid", domain="account")
op.mask_column("crm.visits", "account", method="tokenize", type="text", domain="account")
op.mask_column("crm.people", "phone", method="tokenize", type="text", domain="phones of people")
op.mask_column("crm.visits", "phone", method="tokenize", type="text", domain="phones of visits")
op.mask_column("crm.people", "city", method="tokenize", type="text")
op.mask_column("crm.visits", "city", method="tokenize", type="text")
"""
JOINED = {
    "id = person": "p.id = v.person",
    "mail = mail": "lower(p.mail) = lower(v.mail)",
    "account = account": "p.account = v.account::uuid",
    "phone = phone": "p.phone = v.phone",
    "city = city": "p.city = v.city",
}
IN_ONE_DOMAIN = {"id = person", "mail = mail", "account = account"}


@pytest.fixture
def deployed(stack: Stack, tmp_path: Path, unique: Callable[[str], str]) -> Iterator[Deployment]:
    """Two tables that Debezium captures, their policy in the catalog, and everything that a worker needs."""
    name = unique("joins")
    stack.create_database(name)
    stack.sql(TABLES, database=name)
    write(new_keyring(), tmp_path / "keys.json")
    ours = stack.environment(name) | {
        "CDC_MASKER_CONNECTOR_NAME": name,
        "CDC_MASKER_SOURCE_SERVER": name,
        "CDC_MASKER_SOURCE_SLOT": name,
        "CDC_MASKER_SOURCE_PUBLICATION": name,
        "CDC_MASKER_SOURCE_TABLES": "crm.people,crm.visits",
        "CDC_MASKER_SOURCE_TOPICS": rf"{name}\.crm\..*",
        "CDC_MASKER_KEYS_FILE": str(tmp_path / "keys.json"),
        "CDC_MASKER_APP_ID": f"{name}.app",
        "CDC_MASKER_AUDIT_TOPIC": f"{name}.audit",
        "CDC_MASKER_QUARANTINE_TOPIC": f"{name}.quarantine",
    }
    loaded = settings.load(**{key.removeprefix(settings.PREFIX).lower(): value for key, value in ours.items()})
    revisions = Revisions(tmp_path / "policies")
    revisions.directory.mkdir()
    revisions.write("joins", None, POLICY)
    upgrade(loaded, revisions.directory)
    Connector(loaded).apply(90)
    deployment = Deployment(stack, tmp_path, name, {**os.environ, **ours})
    yield deployment
    deployment.close()


def test_columns_join_in_one_domain_as_the_raw_ones_do_and_in_two_never(deployed: Deployment, stack: Stack) -> None:
    name = deployed.name
    topics = [f"{name}.crm.people", f"{name}.crm.visits"]
    until(lambda: [sum(deployed.end_offsets(topic).values()) for topic in topics] == [50, 100], 60)
    worker = deployed.ready(deployed.start())
    until(lambda: deployed.audited() == 150, 60, worker.log.read_text)
    people, visits = ([json.loads(record.value)["after"] for record in deployed.records(f"masked.{topic}")] for topic in topics)
    for columns, condition in JOINED.items():
        raw = int(stack.sql(f"select count(*) from crm.people p join crm.visits v on {condition}", database=name))
        of_person, of_visit = columns.split(" = ")
        assert raw > 30
        assert _pairs(people, of_person, visits, of_visit) == (raw if columns in IN_ONE_DOMAIN else 0), columns


def _pairs(people: list[dict[str, Any]], of_person: str, visits: list[dict[str, Any]], of_visit: str) -> int:
    """How many pairs a join on these columns gives; tokens that SQL would compare as equal are."""
    counted = Counter(str(row[of_person]) for row in people)
    return sum(counted[str(row[of_visit])] for row in visits)
