"""Workers make room in the audit for coming months, and where they can't, no row is refused."""

from __future__ import annotations

import signal

import pytest

from tests.integration.conftest import Deploy
from tests.integration.kit import until
from tests.migrations.kit import OFF, ON

pytestmark = pytest.mark.stack

PARTITIONS = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'cdc_masker.audit_entry'::regclass ORDER BY 1"
RENAME = "ALTER FUNCTION cdc_masker.{} RENAME TO {}"


def test_rows_are_stored_without_room_and_room_is_made_when_it_can(deploy: Deploy) -> None:
    deployment = deploy()

    def sql(*statements: str) -> list[str]:
        return deployment.stack.sql("; ".join(statements), database=deployment.name).split()

    made = sql(PARTITIONS)
    assert len(made) == 5
    there = [part for part in made if not part.endswith("_default")]
    sql(OFF, *(f"DROP TABLE {part}" for part in there), RENAME.format("make_audit_partitions", "away"), ON)
    deployment.create(deployment.topic, 1)
    deployment.produce(30)
    first = deployment.ready(deployment.start())
    until(lambda: sum(last - first + 1 for _, first, last in deployment.audit_rows()) == 30, 30, first.log.read_text)
    assert (
        "partitions of the audit can't be made ahead yet: schema cdc_masker holds no catalog, or an old one"
        in first.log.read_text()
    )
    assert sql(PARTITIONS) == ["cdc_masker.audit_entry_default"]
    first.kill(signal.SIGTERM)

    sql(OFF, RENAME.format("away", "make_audit_partitions"), ON)
    second = deployment.start()
    until(lambda: sql(PARTITIONS) == [*there[1:], "cdc_masker.audit_entry_default"], 30, second.log.read_text)
