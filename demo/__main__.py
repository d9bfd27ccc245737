"""`make demo`: rows change in PostgreSQL, Debezium publishes them, the worker masks them, the audit tells.

Uses the programs as a user would, and leaves nothing behind unless `KEEP=1` is in the environment.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import NoReturn
from urllib.error import URLError

import msgspec

from cdc_masker.errors import CdcMaskerError
from cdc_masker.events import Note, Record
from cdc_masker.stack import Stack
from cdc_masker.stack.processes import Command, Process, end, spawn
from cdc_masker.stack.programs import cache_directory
from demo import checks, shop
from demo.records import Coordinates, origin, read, send, topics
from demo.show import Teller

PREFIX = "masked."
SOURCES = r"shop\..*|__debezium-heartbeat\.shop"
CATALOG = "catalog"
CATALOG_SCHEMA = "cdc_masker"
TABLES = [f"shop.crm.{table}" for table in ("customers", "orders", "sessions")]
_HERE = Path(__file__).resolve().parent
_PROGRAM = str(Path(sys.executable).parent / "cdc-masker")
_PATIENCE = 60.0


class Demo:
    """One run: the stack, the settings by which every program uses it, and the worker."""

    def __init__(self, directory: Path, tell: Teller) -> None:
        self.tell = tell
        self.stack = Stack(directory, tell.step)
        self.web_port = _free_port()
        self.password = secrets.token_hex(16)
        self._worker_file = directory / "worker.json"

    @property
    def settings(self) -> dict[str, str]:
        """The worker's settings: it logs in with a role that may read policies and append to the audit, no more."""
        catalog = self.stack.database(CATALOG)
        return self.stack.environment(shop.DATABASE) | {
            "CDC_MASKER_SOURCE_TOPICS": SOURCES,
            "CDC_MASKER_SOURCE_TABLES": "crm.customers,crm.orders,crm.sessions",
            "CDC_MASKER_KEYS_FILE": str(self.stack.directory / "demo.keys.json"),
            "CDC_MASKER_DATABASE_URL": catalog.dsn_of("masker", self.password),
            "CDC_MASKER_WEB_PORT": str(self.web_port),
            "CDC_MASKER_TOPIC_REFRESH": "1",
            "CDC_MASKER_SOURCE_SLOT": "shop",
            "CDC_MASKER_SOURCE_PUBLICATION": "shop",
        }

    def prepare(self) -> None:
        """Starts the servers, makes the shop and the catalog, applies the connector."""
        self.stack.up()
        self.tell.step("making the shop's database with three tables")
        shop.create(self.stack)
        self.tell.step("making the catalog and releasing the policy in demo/policy")
        self.stack.create_database(CATALOG)
        admin = {"CDC_MASKER_DATABASE_URL": self.stack.database(CATALOG).dsn}
        self.run("db", "upgrade", "--policies", str(_HERE / "policy"), settings=admin)
        self.stack.sql(f"create role masker login password '{self.password}' in role cdc_masker_worker")
        self.run("keys", "new", self.settings["CDC_MASKER_KEYS_FILE"])
        with self.tell.waiting("applying the Debezium connector"):
            self.run("connector", "apply")

    def start_worker(self) -> None:
        with self.tell.waiting("starting the worker"):
            self._await(self._topics_are_there, "Debezium's snapshot")
            command = Command(argv=(_PROGRAM, "worker"), environment={**os.environ, **self.settings})
            worker = spawn(command, self.stack.directory, self.log)
            self._worker_file.write_bytes(msgspec.json.encode(worker))
            self._await(self._worker_is_ready, "the worker")

    def change(self) -> None:
        """Makes the changes, and writes one record that no Debezium ever wrote."""
        for sentence in shop.changes(self.stack):
            self.tell.step(sentence)
        self.tell.step("something that is no change event gets into a raw topic")
        asyncio.run(send(self.stack.kafka_brokers, TABLES[1], b'{"card": "4000001234567899", "cut of'))

    def watch(self) -> tuple[list[Record], list[Record], dict[Coordinates, str]]:
        """Waits until every record has its outcome. Gives raw and masked records, and why records were quarantined."""
        raw: list[Record] = []
        masked: list[Record] = []
        notes: dict[Coordinates, str] = {}

        def all_captured() -> bool:
            raw[:] = self._read(SOURCES)
            return sum(record.topic in TABLES for record in raw) >= shop.EXPECTED_RECORDS + 1

        def all_masked() -> bool:
            masked[:] = self._read(f"{re.escape(PREFIX)}({SOURCES})")
            found = [msgspec.json.decode(note.value or b"", type=Note) for note in self._read("cdc-masker.quarantine")]
            notes.update({(note.topic, note.partition, note.offset): note.reason for note in found})
            done = {origin(record, PREFIX) for record in masked} | set(notes)
            return all((record.topic, record.partition, record.offset) in done for record in raw)

        with self.tell.waiting("waiting for Debezium to capture the changes"):
            self._await(all_captured, "Debezium")
        with self.tell.waiting("waiting for the worker to mask them"):
            self._await(all_masked, "the worker")
        return raw, masked, notes

    def audit_rows(self, records: int) -> str:
        """The audit rows, once they cover that many records."""
        covered = f"select coalesce(sum(last_offset - first_offset + 1), 0) from {CATALOG_SCHEMA}.audit_entry"
        with self.tell.waiting("waiting for the audit rows"):
            self._await(lambda: int(self.stack.sql(covered, CATALOG)) >= records, "the audit")
        return self.run("audit", "show", "--limit", "200")

    def close(self) -> None:
        """Ends the worker and the servers, also those of a run before that was told to leave them."""
        if (worker := self.worker) is not None:
            end(worker, signal.SIGTERM, 10.0)
        self.stack.wipe()

    @property
    def worker(self) -> Process | None:
        """The worker that was started in this directory, whether it still runs or not."""
        try:
            return msgspec.json.decode(self._worker_file.read_bytes(), type=Process)
        except FileNotFoundError:
            return None

    @property
    def log(self) -> Path:
        return self.stack.log("worker")

    def run(self, *arguments: str, settings: Mapping[str, str] | None = None) -> str:
        """Runs a `cdc-masker` command. Raises `checks.Failure` with its last words when it fails."""
        environment = {**os.environ, **self.settings, **(settings or {})}
        done = subprocess.run([_PROGRAM, *arguments], env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise checks.Failure(f"`cdc-masker {shlex.join(arguments)}` failed: {done.stderr.strip()[-500:]}")
        return done.stdout

    def _read(self, pattern: str) -> list[Record]:
        async def reading() -> list[Record]:
            brokers = self.stack.kafka_brokers
            return await read(brokers, await topics(brokers, pattern))

        return asyncio.run(reading())

    def _topics_are_there(self) -> bool:
        return set(TABLES) <= set(asyncio.run(topics(self.stack.kafka_brokers, SOURCES)))

    def _worker_is_ready(self) -> bool:
        worker = self.worker
        if worker is None or not worker.alive:
            raise checks.Failure(f"the worker ended; its last line: {self.log.read_text().strip().splitlines()[-1]}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.web_port}/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False

    def _await(self, condition: Callable[[], bool], who: str) -> None:
        until = time.monotonic() + _PATIENCE
        while not condition():
            if time.monotonic() > until:
                raise checks.Failure(f"{who} was not done after {_PATIENCE:.0f} s; logs are in {self.log.parent}")
            time.sleep(0.2)


def main() -> int:
    tell = Teller()
    signal.signal(signal.SIGTERM, _stop)
    keep = os.environ.get("KEEP", "") not in ("", "0")
    demo = Demo(cache_directory() / "demo", tell)
    demo.close()  # what an earlier KEEP=1 left
    done = False
    try:
        demo.prepare()
        demo.start_worker()
        demo.change()
        summary = _shown_and_checked(demo)
        if keep:
            tell.plain(_directions(demo))
        done = True
    except (CdcMaskerError, checks.Failure) as failure:
        tell.failure(str(failure))
        return 1
    except KeyboardInterrupt:
        tell.failure("interrupted")
        return 130
    finally:
        if not (keep and done):
            tell.step("stopping everything")
            demo.close()
    tell.plain([summary])
    return 0


def _shown_and_checked(demo: Demo) -> str:
    tell = demo.tell
    raw, masked, notes = demo.watch()
    by_origin = {origin(record, PREFIX): record for record in masked}
    for record in raw:
        where = (record.topic, record.partition, record.offset)
        fate = f"quarantined ({notes[where]})" if where in notes else "masked" if record.topic in TABLES else "control"
        tell.record(record, by_origin.get(where), fate)
    audit = demo.audit_rows(len(raw))
    tell.audit(audit)

    outcomes = checks.one_outcome_each(raw, masked, notes, PREFIX)
    tell.check(f"every raw record has exactly one outcome: {outcomes}")
    sinks = {
        "the masked topics": b"\n".join(_bytes(record) for record in masked),
        "the audit and quarantine topics": b"\n".join(_bytes(record) for record in demo._read(r"cdc-masker\..*")),
        "the audit rows": audit.encode(),
        "the worker's log": demo.log.read_bytes(),
    }
    searched = checks.raw_values_gone(raw, sinks)
    with tell.waiting("searching everything in 22 encodings (cdc-masker leaks)"):
        demo.run("leaks", "--in", str(demo.log))  # fails on a hit
    tell.check(f"none of {searched} raw values of masked columns is in the output, the audit or the log, in no encoding")
    joined, joined_masked = checks.joined_rows(raw), checks.joined_rows(masked)
    if not joined == joined_masked > 0:
        raise checks.Failure(f"customers join orders to {joined} rows raw, but {joined_masked} masked")
    tell.check(f"customers join orders on the e-mail address to {joined} rows, raw and masked")
    return (
        f"demo: {outcomes} records, each with one outcome ({len(notes)} quarantined); "
        f"0 of {searched} raw values found; joins agree ({joined} rows)"
    )


def _bytes(record: Record) -> bytes:
    headers = [name.encode() + b"=" + (value or b"") for name, value in record.headers]
    return b"\n".join([record.key or b"", record.value or b"", *headers])


def _directions(demo: Demo) -> list[str]:
    assert demo.worker is not None  # it answered a moment ago
    shown, directory = demo.settings, shlex.quote(str(demo.stack.directory))
    return [
        "everything stays up:",
        f"  shop           psql {demo.stack.database(shop.DATABASE).dsn}",
        f"  catalog        psql {demo.stack.database(CATALOG).dsn}",
        f"  Kafka          {demo.stack.kafka_brokers}",
        f"  Kafka Connect  {demo.stack.connect_url}",
        f"  worker         http://127.0.0.1:{shown['CDC_MASKER_WEB_PORT']}/metrics, log {demo.log}",
        f"  stop with      kill {demo.worker.pid} && {shlex.quote(_PROGRAM)} stack down --wipe --dir {directory}",
        "  settings for cdc-masker:",
        *(f"    export {name}={shlex.quote(value)}" for name, value in shown.items()),
    ]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
