"""`cdc-masker leaks` on a deployment that ran: nothing in topics, rows and logs, until a raw value is planted in each."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from typing import Any

import pytest

from cdc_masker.stack import Stack
from tests.integration.conftest import Deploy
from tests.integration.kit import CANARY, Deployment, until

pytestmark = pytest.mark.stack

RECORDS = 300


@pytest.fixture
def ran(deploy: Deploy) -> Deployment:
    """A deployment whose worker masked some records, quarantined one and has ended."""
    deployment = deploy()
    deployment.create(deployment.topic, partitions=2)
    deployment.produce(RECORDS, partitions=2)
    deployment.produce(1, make=lambda _: (b"{}", b"no JSON: Wilhelmina-Sardonyx-the-Second"))
    worker = deployment.ready(deployment.start(level="debug"))
    until(lambda: deployment.audited() == RECORDS + 1, 60, lambda: worker.log.read_text()[-3000:])
    until(lambda: sum(last - first + 1 for _, first, last in deployment.audit_rows()) == RECORDS + 1, 30)
    assert worker.kill(signal.SIGTERM) == 0
    return deployment


def _to_topic(setting: str, value: bytes) -> Callable[[Deployment, Stack], str]:
    def plant(deployment: Deployment, stack: Stack) -> str:
        topic = deployment.environment.get(f"CDC_MASKER_{setting}", deployment.masked_topic())
        deployment.produce(1, topic=topic, make=lambda _: (None, value))
        return f"topic {topic} partition 0"

    return plant


def _to_row(deployment: Deployment, stack: Stack) -> str:
    stack.sql(
        "insert into cdc_masker.audit_entry (generation, incarnation, topic, partition, first_offset, last_offset, masked, "
        "control, quarantined, dropped, gaps, columns, root, previous, policy_version, policy_digest, "
        "policy_seal, key_epoch, masked_at, worker, program) "
        "select generation, incarnation, topic, partition, last_offset + 1000, last_offset + 1000, 0, 0, 0, 0, "
        f"'[]', '{{}}', '', '', 0, 'x', 'x', 1, now(), 'worker of {CANARY.upper()}', program "
        "from cdc_masker.audit_entry limit 1",
        deployment.name,
    )
    return "audit_entry row"


def _to_log(deployment: Deployment, stack: Stack) -> str:
    log = deployment.workers[0].log
    with log.open("ab") as file:
        file.write(b"could not decode b'" + CANARY.encode().hex().encode() + b"'\n")
    return f"{log} byte"


PLANTS = {
    "masked topic": _to_topic("", b'{"after":{"name":"' + CANARY.encode() + b'"}}'),
    "quarantine topic": _to_topic("QUARANTINE_TOPIC", b'{"reason":"' + CANARY[::-1].encode() + b'"}'),
    "audit topic": _to_topic("AUDIT_TOPIC", CANARY.encode("utf-16-le")),
    "audit row": _to_row,
    "log": _to_log,
}


def _report(deployment: Deployment, expected: int) -> dict[str, Any]:
    log = deployment.workers[0].log
    code, printed, told = deployment.run("leaks", "--in", str(log), "--json")
    assert code == expected, printed + told
    assert told == ""
    for spelling in (CANARY, CANARY.upper(), CANARY[::-1], CANARY.encode().hex()):
        assert spelling not in printed
    report: dict[str, Any] = json.loads(printed)
    return report


def test_nothing_is_found_until_a_raw_value_is_planted(ran: Deployment, kafka: Stack) -> None:
    report = _report(ran, 0)
    searched = {sink["sink"]: sink["count"] for sink in report["searched"]}
    assert searched[f"topic {ran.masked_topic()}"] == RECORDS
    assert searched[f"topic {ran.name}.quarantine"] == 1
    assert searched[f"topic {ran.name}.audit"] >= 2
    assert searched["table cdc_masker.audit_entry"] >= 2
    assert searched["table cdc_masker.audit_note"] == 1
    assert searched[str(ran.workers[0].log)] == 1
    assert report["raw_records"] == RECORDS + 1
    assert {"column": "shop.customers.name", "needles": 1, "ambiguous": 0, "not_searched": 0} in report["columns"]
    assert "shop.customers.id" not in {column["column"] for column in report["columns"]}

    places = []
    for kind, plant in PLANTS.items():
        places.append(plant(ran, kafka))
        report = _report(ran, 1)
        hits = [hit for hit in report["first_hits"] if hit["columns"] == ["shop.customers.name"]]
        assert {next(place for place in places if hit["place"].startswith(place)) for hit in hits} == set(places), kind

    # Read as people do, with the raw topic named.
    code, printed, _ = ran.run("leaks", ran.topic)
    assert code == 1
    assert printed.count("LEAK ") == len(PLANTS) - 1  # all but the log, which isn't named this time
    assert CANARY not in printed


def test_where_it_can_t_search_it_says_so(deploy: Deploy) -> None:
    deployment = deploy()
    assert deployment.run("leaks")[0] == 2  # no raw topic yet
    deployment.create(deployment.topic)
    deployment.produce(3)
    code, printed, told = deployment.run("leaks")
    assert (code, printed) == (2, "")
    assert "no topic starts with" in told
    deployment.create(deployment.masked_topic())
    assert "there is no topic" in deployment.run("leaks")[2]
    code, _, told = deployment.run("leaks", deployment.masked_topic())
    assert code == 2
    assert "is written by cdc-masker" in told
