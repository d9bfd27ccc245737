"""The stack as one thing: starts its parts, remembers them, ends them.

What always holds: a part is started only when what it needs runs, and counts as started when a client gets an answer;
what a failed or interrupted start began is ended again; only processes that this directory's stack started are ever
signalled. Programs that use one directory at the same time take turns.
"""

from __future__ import annotations

import fcntl
import secrets
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import Signals
from types import TracebackType
from typing import ClassVar, Protocol, Self

from cdc_masker.errors import SetupError
from cdc_masker.stack import jars, programs
from cdc_masker.stack.connect import Connect
from cdc_masker.stack.kafka import Kafka
from cdc_masker.stack.postgres import HOST, REPLICATION_ROLE, Database, Postgres, make_home
from cdc_masker.stack.processes import Command, await_true, end, spawn
from cdc_masker.stack.state import State

__all__ = ["PARTS", "PartStatus", "Stack", "default_directory"]

PARTS = ("postgres", "kafka", "connect")  # in the order in which they start
_START_SECONDS = 120.0
_STOP_SECONDS = 20.0


class Part(Protocol):
    """One server of the stack."""

    needs: ClassVar[tuple[str, ...]]
    ports: ClassVar[tuple[str, ...]]
    stop_signal: ClassVar[Signals]

    def prepare(self) -> None:
        """Makes what the command needs on disk, once or again."""

    def command(self) -> Command: ...
    def ready(self) -> bool: ...
    def settle(self) -> None:
        """Makes what its users need inside of it, once or again."""


_PARTS: dict[str, type[Part]] = {"postgres": Postgres, "kafka": Kafka, "connect": Connect}


@dataclass(frozen=True, slots=True)
class PartStatus:
    """Whether a part runs, and where it logs to; `pid` is None when it doesn't."""

    name: str
    pid: int | None
    log: Path

    @property
    def running(self) -> bool:
        return self.pid is not None


def default_directory() -> Path:
    """Where the stack of `cdc-masker stack` lives."""
    return programs.cache_directory() / "stack"


class Stack:
    """The stack in one directory, whether it runs or not. As a context manager it is wiped at the end.

    `progress` is told, in a few words, what is being done. `kafka_proxy` is the port of a proxy before Kafka, which hands on to
    `address("kafka-behind-proxy")`. Whatever can't be done raises `SetupError`.
    """

    def __init__(
        self, directory: Path, progress: Callable[[str], None] = lambda told: None, *, kafka_proxy: int | None = None
    ) -> None:
        self.directory = directory.absolute()
        self._progress = progress
        self._kafka_proxy = kafka_proxy
        self._file = self.directory / "stack.json"
        self._state = State.read(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.wipe()

    # What is done to all of it

    def up(self, *parts: str) -> None:
        """Starts these parts (all when none is named) and what they need; those that run are left alone."""
        with self._turn(), ExitStack() as undo:
            for name in parts or PARTS:
                self._start(name, undo)
            undo.pop_all()

    def down(self) -> None:
        """Stops every part and keeps its data."""
        if not self._file.exists():
            return
        with self._turn():
            for name in reversed(PARTS):
                self._end(name, kill=False)

    def wipe(self) -> None:
        """Stops every part and deletes the directory, or, when that was there before the stack, what the stack put in it."""
        self.down()
        if self._state.postgres_home:
            shutil.rmtree(self._state.postgres_home, ignore_errors=True)
        if self._state.made_directory:
            shutil.rmtree(self.directory, ignore_errors=True)
        for part in (*PARTS, "logs"):
            shutil.rmtree(self.directory / part, ignore_errors=True)
        for file in (self._file.name, "lock"):
            (self.directory / file).unlink(missing_ok=True)
        self._state = State.read(self._file)

    def status(self) -> list[PartStatus]:
        """Each part, in the order in which they start."""
        running = {name: process.pid for name, process in self._state.processes.items() if process.alive}
        return [PartStatus(name, running.get(name), self.log(name)) for name in PARTS]

    # What is done to one part

    def start(self, part: str) -> None:
        """Starts one part again, on the port that it had."""
        self.up(part)

    def stop(self, part: str) -> None:
        """Stops one part as an administrator would."""
        with self._turn():
            self._end(part, kill=False)

    def kill(self, part: str) -> None:
        """Ends one part and its children with SIGKILL."""
        with self._turn():
            self._end(part, kill=True)

    def running(self, part: str) -> bool:
        process = self._state.processes.get(part)
        return process is not None and process.alive

    def log(self, part: str) -> Path:
        return self.directory / "logs" / f"{part}.log"

    # How the parts are reached

    def address(self, part: str) -> str:
        """host:port of a part. Raises `SetupError` when it was never started."""
        return f"{HOST}:{self._port(part)}"

    @property
    def kafka_brokers(self) -> str:
        return self.address("kafka")

    @property
    def connect_url(self) -> str:
        return f"http://{self.address('connect')}"

    def database(self, name: str = "postgres") -> Database:
        """How a database is reached; `create_database` makes one."""
        return self._postgres.database(name)

    def create_database(self, name: str) -> Database:
        """Makes an empty database."""
        self.sql(f'create database "{name}"')
        return self.database(name)

    def sql(self, statements: str, database: str = "postgres") -> str:
        """Runs statements as the superuser; gives the rows, one a line, columns separated by `|`."""
        return self._postgres.execute(statements, database)

    def environment(self, database: str = "postgres") -> dict[str, str]:
        """Settings by which cdc-masker uses this stack, with source and catalog in `database`, as its superuser."""
        source = self.database(database)
        return {
            "CDC_MASKER_KAFKA_BROKERS": self.kafka_brokers,
            "CDC_MASKER_CONNECT_URL": self.connect_url,
            "CDC_MASKER_DATABASE_URL": source.dsn,
            "CDC_MASKER_SOURCE_HOST": source.host,
            "CDC_MASKER_SOURCE_PORT": str(source.port),
            "CDC_MASKER_SOURCE_DATABASE": source.name,
            "CDC_MASKER_SOURCE_USER": REPLICATION_ROLE,
            "CDC_MASKER_SOURCE_PASSWORD": "${env:SOURCE_PASSWORD}",
        }

    # How it is done

    def _start(self, name: str, undo: ExitStack) -> None:
        if self.running(name):
            return
        for needed in _PARTS[name].needs:
            self._start(needed, undo)
        self._claim(name)
        part = self._part(name)
        self._progress(f"{name}: starting")
        part.prepare()
        log = self.log(name)
        log.parent.mkdir(exist_ok=True)
        process = spawn(part.command(), self.directory, log)
        self._state.processes[name] = process
        undo.callback(self._end, name, kill=False)
        self._state.write(self._file)
        if not await_true(lambda: not process.alive or part.ready(), _START_SECONDS):
            raise SetupError(f"{name} of the local stack did not answer within {_START_SECONDS:.0f} s; {log} may say why")
        if not process.alive:
            raise SetupError(f"{name} of the local stack ended while it started; {log} says why")
        part.settle()
        self._progress(f"{name}: up at {self.address(name)}")

    def _end(self, name: str, *, kill: bool) -> None:
        process = self._state.processes.get(name)
        if process is None:
            return
        self._progress(f"{name}: stopping")
        end(process, None if kill else _PARTS[name].stop_signal, _STOP_SECONDS)
        if process.alive:
            raise SetupError(f"{name} of the local stack (process {process.pid}) can't be ended; end it by hand")
        del self._state.processes[name]
        self._state.write(self._file)

    def _claim(self, name: str) -> None:
        """Settles where a part is: its old ports where they are still free, so that its clients find it again."""
        for port in _PARTS[name].ports:
            taken = set(self._state.ports.values())
            if not _is_free(self._state.ports.get(port)):
                self._state.ports[port] = next(candidate for candidate in _candidates() if candidate not in taken)
        if name == Postgres.name and self._state.postgres_home is None:
            self._state.postgres_home = str(make_home(self.directory))
        self._state.write(self._file)

    def _part(self, name: str) -> Part:
        if name == Postgres.name:
            return self._postgres
        fetched = jars.fetch(self._progress)
        if name == Kafka.name:
            ports = [self._port(port) for port in Kafka.ports]
            return Kafka(self.directory / "kafka", *ports, jars=fetched, proxy=self._kafka_proxy)
        home, password = self.directory / "connect", self._state.password
        return Connect(home, self._port("connect"), self.kafka_brokers, fetched, password)

    @property
    def _postgres(self) -> Postgres:
        port = self._port("postgres")
        assert self._state.postgres_home is not None  # it is claimed together with the port
        return Postgres(Path(self._state.postgres_home), port, self._state.password)

    def _port(self, name: str) -> int:
        try:
            return self._state.ports[name]
        except KeyError:
            raise SetupError(f"the stack in {self.directory} was never started; run `cdc-masker stack up`") from None

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Waits until no other program changes this stack, and sees what the last one did."""
        made_directory = not self.directory.exists()
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._progress(f"waiting for another program that uses {self.directory}")
                fcntl.flock(lock, fcntl.LOCK_EX)
            self._state = State.read(self._file)
            self._state.made_directory |= made_directory
            yield


def _candidates() -> Iterator[int]:
    """Free loopback ports in a random order.

    All lie below the range that the kernel gives to outgoing connections: a client that keeps trying a stopped server's
    port could otherwise be given that very port, and connect to itself.
    """
    while True:
        port = 15_000 + secrets.randbelow(15_000)
        if _is_free(port):
            yield port


def _is_free(port: int | None) -> bool:
    if port is None:
        return False
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
