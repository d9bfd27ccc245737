"""Subjects are erased on the real stack, while workers mask: what came before is redacted when it is masked again, what comes
later is told apart from it, and nobody else is touched.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cdc_masker.stack import Stack
from tests.integration.exactness import assert_exactly_once
from tests.integration.kit import Deployment, until

pytestmark = pytest.mark.stack

Deploy = Callable[..., Deployment]

SUBJECTS = 20
ERASED = 7
_SOURCE = (
    '"source":{"version":"3.7.0.Final","connector":"postgresql","name":"shop","ts_ms":1,"snapshot":"false","db":"shop",'
    '"sequence":"[]","schema":"shop","table":"%s","txId":700,"lsn":1000,"xmin":null},"transaction":null,"op":"c","ts_ms":1}'
)


def customer(number: int) -> tuple[bytes, bytes]:
    """A row of shop.customers, about one of the subjects in turn."""
    row = {"id": number, "subject": number % SUBJECTS, "name": f"name of {number % SUBJECTS}"}
    return b'{"id":%d}' % number, f'{{"before":null,"after":{json.dumps(row)},{_SOURCE % "customers"}'.encode()


def order(number: int) -> tuple[bytes, bytes]:
    """A row of shop.orders, about one of the subjects in turn."""
    row = {"id": number, "ordered_by": number % SUBJECTS, "deliver_to": f"name of {number % SUBJECTS}"}
    return b'{"id":%d}' % number, f'{{"before":null,"after":{json.dumps(row)},{_SOURCE % "orders"}'.encode()


@dataclass
class People:
    """A deployment in which two tables hold values of subjects, and a login for each task."""

    deployment: Deployment
    logins: dict[str, str]
    produced: int = 0

    @property
    def topics(self) -> dict[str, Callable[[int], tuple[bytes | None, bytes | None]]]:
        return {f"{self.deployment.topic}.customers": customer, f"{self.deployment.topic}.orders": order}

    def produce(self, count: int) -> None:
        for topic, make in self.topics.items():
            self.deployment.produce(count, topic=topic, partitions=2, first=self.produced, make=make)
        self.produced += count

    def masked(self, seconds: float = 40) -> None:
        """Waits until all that was produced is masked."""
        until(lambda: self.deployment.audited() >= 2 * self.produced, seconds, self._logs)

    def _logs(self) -> str:
        return "\n".join(worker.log.read_text()[-2000:] for worker in self.deployment.workers)

    def values(self, suffix: str = "") -> dict[tuple[str, int, int], tuple[int, str | None]]:
        """By topic, partition and offset: the subject, and what became of the name."""
        found = {}
        for topic in self.topics:
            records = self.deployment.masked(topic + suffix)
            assert_exactly_once(records, {0: self.produced // 2, 1: self.produced // 2})
            for record in records:
                row: dict[str, Any] = json.loads(record.value or b"")["after"]
                subject, name = (row[column] for column in row if column in ("subject", "ordered_by", "name", "deliver_to"))
                found[topic, record.partition, record.offset] = (subject, name)
        return found

    def of(self, subject: int, *, start: int = 0, suffix: str = "") -> set[str | None]:
        """What became of the subject's names, from the record with that number on."""
        return {
            name
            for (_, partition, offset), (each, name) in self.values(suffix).items()
            if each == subject and 2 * offset + partition >= start
        }

    def popen(self, *arguments: str, login: str = "custodian") -> subprocess.Popen[str]:
        environment = {**self.deployment.environment, "CDC_MASKER_DATABASE_URL": self.logins[login]}
        program = Path(sys.executable).parent / "cdc-masker"
        return subprocess.Popen(
            [program, *arguments],
            cwd=self.deployment.home,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, typed: str = "", login: str = "custodian", code: int = 0) -> str:
        """Runs a command and gives its standard output."""
        process = self.popen(*arguments, login=login)
        output, errors = process.communicate(typed, timeout=120)
        assert process.returncode == code, errors
        return output

    def receipts(self) -> list[dict[str, Any]]:
        return [
            json.loads(line)
            for line in self.run("audit", "receipts", "--kind", "erase", "--json", login="auditor").splitlines()
        ]

    def count(self, table: str, where: str = "true") -> int:
        return int(self.deployment.stack.sql(f"select count(*) from cdc_masker.{table} where {where}", self.deployment.name))

    def worker(self, **settings: str) -> Any:
        return self.deployment.ready(self.deployment.start(database_url=self.logins["worker"], **settings))


@pytest.fixture
def people(deploy: Deploy, unique: Callable[[str], str]) -> People:
    return populate(deploy(subject_lease="2", transaction_timeout="5"), unique)


def populate(deployment: Deployment, unique: Callable[[str], str]) -> People:
    deployment.say(
        'op.declare_domain("people", per_subject=True)',
        *(
            f'op.keep_column("shop.{table}", "{column}", reason="a number that we made up")'
            for table, column in (("customers", "subject"), ("orders", "id"), ("orders", "ordered_by"))
        ),
        'op.mask_column("shop.customers", "name", method="tokenize", domain="people", subject="subject")',
        'op.mask_column("shop.orders", "deliver_to", method="tokenize", domain="people", subject="ordered_by")',
    )
    database = deployment.stack.database(deployment.name)
    logins = {}
    for role in ("worker", "custodian", "auditor"):
        login = unique(role)
        deployment.stack.sql(f"create role {login} login password 'pw' in role cdc_masker_{role}", deployment.name)
        logins[role] = database.dsn_of(login, "pw")
    made = People(deployment, logins)
    for topic in made.topics:
        deployment.create(topic, 2)
    return made


def test_an_erased_subject_is_redacted_before_the_boundary_and_new_after_it(people: People) -> None:
    people.produce(400)
    people.worker()
    people.worker()
    people.masked()
    before = people.values()
    (token,) = people.of(ERASED)
    assert token is not None
    assert len({name for _, name in before.values()}) == SUBJECTS  # the same one in both tables, for each subject another

    assert "is complete" in people.run("keys", "erase", typed=f"{ERASED}\n")
    assert people.count("subject_key") == SUBJECTS - 1
    people.produce(400)
    people.masked()
    (renewed,) = people.of(ERASED, start=400)
    assert renewed not in (None, token)
    for subject in range(SUBJECTS):
        if subject != ERASED:
            assert people.of(subject, start=400) == people.of(subject)

    (receipt,) = people.receipts()
    assert (receipt["kind"], receipt["about"], receipt["detail"]["key_epochs"]) == ("erase", "people", [1])
    assert sum(offset for *_, offset in receipt["detail"]["erased_before"]) == 800
    assert people.count("receipt", f"detail::text like '%{ERASED}%' and subject is null") == 0

    # Masked anew by a process that has seen nothing: a generation of its own.
    anew = people.worker(generation="2")
    until(lambda: people.deployment.audited() == 4 * people.produced, 40, anew.log.read_text)
    published, again = people.values(), people.values(".g2")
    for place, (subject, name) in again.items():
        earlier = 2 * place[2] + place[1] < 400
        assert name == (None if subject == ERASED and earlier else published[place][1])
    assert anew.metric("cdc_masker_values_redacted_total") == 2 * 400 / SUBJECTS
    assert 'column="name",reason="erased"' in anew.page("metrics")[1]
    until(lambda: "their method can't take them (erased): name" in anew.log.read_text(), 5, anew.log.read_text)


def test_an_erasure_that_is_cut_off_is_completed_by_running_it_again(people: People) -> None:
    people.produce(40)
    awake, asleep = people.worker(), people.worker()
    people.masked()
    (token,) = people.of(ERASED)
    asleep.process.send_signal(signal.SIGSTOP)  # so that it acknowledges nothing
    erasing = people.popen("keys", "erase", str(ERASED))
    until(lambda: people.count("erasure") == 1, 30)
    # The other worker hears of it while the erasure is waiting.
    awake_knows = f"name not like '%:{awake.process.pid}' or acknowledged = 1"
    until(lambda: people.count("worker_presence", awake_knows) == 2, 20)
    erasing.kill()
    erasing.communicate()
    assert people.count("erasure", "completed_at is null") == 1

    people.produce(40)
    asleep.process.send_signal(signal.SIGCONT)
    people.masked()
    assert people.of(ERASED, start=40) == {None}
    assert people.receipts() == []

    people.run("keys", "erase", str(ERASED))
    assert people.count("erasure", "completed_at is not null") == people.count("erasure") == 1
    assert len(people.receipts()) == 1
    assert "was erased before" in people.run("keys", "erase", str(ERASED))

    people.produce(40)
    people.masked()
    (renewed,) = people.of(ERASED, start=80)
    assert renewed not in (None, token)
    anew = people.worker(generation="2")
    until(lambda: people.deployment.audited() == 4 * people.produced, 40, anew.log.read_text)
    assert people.of(ERASED, suffix=".g2") == {None, renewed}
    assert people.of(ERASED, start=80, suffix=".g2") == {renewed}


def test_a_worker_that_died_is_given_up_and_one_that_left_is_not_waited_for(people: People) -> None:
    people.produce(40)
    dies, leaves = people.worker(), people.worker()
    people.masked()
    leaves.kill(signal.SIGTERM)
    assert people.count("worker_presence") == 1
    dies.kill(signal.SIGKILL)
    erasing = people.popen("keys", "erase", "-")
    output, errors = erasing.communicate(f"{ERASED}\n", timeout=60)
    assert erasing.returncode == 0, errors
    assert "given up after" in errors
    assert "is complete" in output
    assert people.count("subject_key") == SUBJECTS - 1


def test_who_is_not_there_or_not_allowed_is_told(people: People) -> None:
    people.produce(40)
    people.worker()
    people.masked()
    assert people.run("keys", "erase", "wilhelmina", code=1) == ""
    assert people.run("keys", "erase", "7", "--domain", "nobody", code=2) == ""
    assert people.run("keys", "erase", "7", login="worker", code=2) == ""
    assert people.run("keys", "erase", "7", login="auditor", code=2) == ""
    other = people.deployment.home / "other.json"
    people.run("keys", "new", str(other))
    mine = people.deployment.environment["CDC_MASKER_KEYS_FILE"]
    people.deployment.environment["CDC_MASKER_KEYS_FILE"] = str(other)
    assert people.run("keys", "erase", "7", code=2) == ""
    people.deployment.environment["CDC_MASKER_KEYS_FILE"] = mine
    assert people.count("erasure") == 0


def test_without_the_catalog_no_key_is_used_past_the_lease(
    deploy: Deploy, own_stack: Stack, unique: Callable[[str], str]
) -> None:
    people = populate(deploy(own_stack, subject_lease="2", transaction_timeout="5"), unique)
    people.produce(40)
    worker = people.worker()
    people.masked()
    before = people.values()
    own_stack.stop("postgres")

    def unconfirmed() -> bool:
        people.produce(40)
        return "can't be confirmed" in worker.log.read_text()

    until(unconfirmed, 40, worker.log.read_text, every=0.5)
    assert "keys of subjects are used for 2 s at most" in worker.log.read_text()
    assert people.deployment.audited() < 2 * people.produced
    own_stack.start("postgres")
    people.masked()
    after = people.values()
    assert {place: after[place] for place in before} == before
    assert len({name for _, name in after.values()}) == SUBJECTS
