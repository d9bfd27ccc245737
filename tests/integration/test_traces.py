"""A worker at its most talkative, fed with poison, and one with a fault in it: neither shows a value, nor could its core."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from cdc_masker.catalog.database import Database
from cdc_masker.errors import CdcMaskerError
from cdc_masker.kafka.failing import EXIT_FAILED
from cdc_masker.settings import load
from cdc_masker.stack import Database as Server
from tests.integration.kit import CANARY, Deployment, Worker, event, until

pytestmark = pytest.mark.stack

POISON = [
    CANARY.encode(),
    b'{"' + CANARY.encode(),
    CANARY.encode() + b"\xff",
    b'{"before":null,"after":{"name":"' + CANARY.encode() + b'"},"source":{"lsn":"' + CANARY.encode() + b'"},"op":"c"}',
    b'{"after":{"a":{"' + CANARY.encode() + b'":1,"' + CANARY.encode() + b'":2}},"op":"c"}',
    b'{"schema":{"type":"' + CANARY.encode() + b'"},"payload":{"op":"c"}}',
]

FAULTY = """
from cdc_masker.pipeline import Masker
from cdc_masker.worker import run

def fail(self, records, *more):
    try:
        records[0].value.decode("utf-16")
    finally:
        raise ValueError(records[0].value.decode())

Masker.begin = fail
run("debug")
"""


def poison(number: int) -> tuple[bytes | None, bytes | None]:
    if number % 2:
        return event(number)
    return [(POISON[number // 2 % len(POISON)], b"{}"), (b"{}", POISON[number // 2 % len(POISON)])][number // 12 % 2]


def traces(worker: Worker, temporary: Path) -> bytes:
    """All that a worker has written where nobody asked it to."""
    left = b"".join(file.read_bytes() for file in temporary.rglob("*") if file.is_file())
    return worker.log.read_bytes() + worker.page("metrics")[1].encode() + left


def talkative(deployment: Deployment) -> Path:
    """Gives the worker's processes a directory of their own for temporary files."""
    temporary = deployment.home / "temporary"
    temporary.mkdir()
    deployment.environment["TMPDIR"] = str(temporary)
    return temporary


@pytest.mark.parametrize("by", ["faust", "cdc-masker"])
def test_a_worker_at_debug_level_shows_nothing_of_poison(deploy: Callable[..., Deployment], by: str) -> None:
    deployment = deploy()
    temporary = talkative(deployment)
    deployment.create(deployment.topic, 1)
    deployment.produce(48, make=poison)
    worker = deployment.ready(deployment.start(by=by, level="debug"))
    until(lambda: deployment.audited() == 48, 30, worker.log.read_text)
    until(lambda: worker.metric("cdc_masker_audit_lag") == 0, 20)
    assert worker.metric("cdc_masker_records_total") == 48
    for number in (signal.SIGUSR1, signal.SIGUSR2):  # for which Faust would show variables, and open a debugger
        worker.process.send_signal(number)
    deployment.produce(48, make=poison, first=48)
    until(lambda: deployment.audited() == 96, 30, worker.log.read_text)
    assert "VARIABLES" not in worker.log.read_text()
    assert "debugger" not in worker.log.read_text()
    assert core_limit(worker) == ["0", "0"]
    assert CANARY.encode() not in traces(worker, temporary)
    quarantine, audit = (deployment.environment[f"CDC_MASKER_{name}_TOPIC"] for name in ("QUARANTINE", "AUDIT"))
    for topic in (quarantine, audit):
        told = [b"%r %r %r" % (each.key, each.value, each.headers) for each in deployment.records(topic)]
        assert told
        assert CANARY.encode() not in b"".join(told)
    rows = deployment.stack.sql("select to_json(r) from cdc_masker.audit_entry r", database=deployment.name)
    notes = deployment.stack.sql("select to_json(r) from cdc_masker.audit_note r", database=deployment.name)
    assert "not_json" in notes
    assert CANARY not in rows + notes


def test_a_fault_in_a_worker_ends_it_without_a_trace(deploy: Callable[..., Deployment]) -> None:
    deployment = deploy()
    temporary = talkative(deployment)
    deployment.create(deployment.topic, 1)
    deployment.produce(10)
    (deployment.home / "faulty.py").write_text(FAULTY)
    worker = deployment.start(by=str(deployment.home / "faulty.py"))
    assert worker.process.wait(60) == EXIT_FAILED, worker.log.read_text()
    told = worker.log.read_text()
    assert "ValueError at faulty.py:9 in fail" in told
    assert "Traceback" not in told
    assert CANARY.encode() not in traces(worker, temporary)


async def test_what_postgresql_tells_of_a_row_is_not_repeated(fresh_database: Callable[[str], Server]) -> None:
    settings = load(database_url=fresh_database("traces").dsn)
    database = Database(settings)
    try:
        for statement in (
            f"create temp table t (a text check (a = 'x')); insert into t values ('{CANARY}')",
            f"select '{CANARY}'::int",
            f"do $$ begin raise exception using errcode = '23505', message = 'm', detail = '{CANARY}'; end $$",
        ):
            with pytest.raises(CdcMaskerError) as caught:
                async with database.transaction() as connection:
                    for part in statement.split("; insert"):
                        await connection.execute(text(part if part.startswith(("create", "select", "do")) else "insert" + part))
            assert CANARY not in str(caught.value)
            assert caught.value.__cause__ is None
            assert caught.value.__suppress_context__
    finally:
        await database.close()


def core_limit(worker: Worker) -> list[str]:
    """Soft and hard limit of the size of a core dump."""
    limits = Path(f"/proc/{worker.process.pid}/limits").read_text().splitlines()
    (line,) = [line for line in limits if line.startswith("Max core file size")]
    return line.split()[4:6]
