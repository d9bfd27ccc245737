"""Where checkpoints of the audit go, so that copies of them are kept outside the database: a directory, a topic, a command.

What always holds: a note is there, whole, when `put` returns, and no earlier one is written over.
"""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import DEVNULL, PIPE
from tempfile import NamedTemporaryFile
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from cdc_masker.errors import SetupError, TransientError
from cdc_masker.kafka.cluster import Cluster
from cdc_masker.kafka.topics import LARGEST_ENTRY, Topics
from cdc_masker.settings import Settings

__all__ = ["Place", "place"]

_COMMAND_SECONDS = 60.0
_READ_MS = 10_000


class Place(Protocol):
    """One place; its `str` names it to people."""

    async def last(self) -> bytes | None:
        """The newest note in it, None without any."""
        ...

    async def put(self, note: bytes) -> None:
        """Adds a note. Raises `SetupError`, or `TransientError` when it may work later."""
        ...


def place(name: str, settings: Settings) -> Place:
    """The place that `file:DIR`, `topic:NAME` or `command:…` names. Raises `SetupError`."""
    kind, _, rest = name.partition(":")
    match kind, rest:
        case "file", str() if rest:
            return Directory(Path(rest))
        case "topic", str() if rest:
            return Topic(settings, rest)
        case "command", str() if rest:
            return Command(rest)
        case _:
            raise SetupError(f"{name} is no place for a checkpoint; name file:DIR, topic:NAME or command:…")


class Directory:
    """A file for each note, numbered from 1 on."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __str__(self) -> str:
        return f"file:{self._path}"

    async def last(self) -> bytes | None:
        try:
            number = self._newest()
            return self._file(number).read_bytes() if number else None
        except OSError as error:
            raise self._refused(error) from None

    async def put(self, note: bytes) -> None:
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            with NamedTemporaryFile(dir=self._path, prefix=".") as file:
                file.write(note)
                file.flush()
                os.fsync(file.fileno())
                os.link(file.name, self._file(self._newest() + 1))  # which refuses a name that is there
            directory = os.open(self._path, os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError as error:
            raise self._refused(error) from None

    def _file(self, number: int) -> Path:
        return self._path / f"{number:08}.note"

    def _newest(self) -> int:
        """The number of the newest note, 0 without any. `Path.glob` would not tell that the directory can't be read."""
        try:
            found = list(self._path.iterdir())
        except FileNotFoundError:
            return 0
        return max((int(path.stem) for path in found if path.suffix == ".note" and path.stem.isdecimal()), default=0)

    def _refused(self, error: OSError) -> TransientError:
        return TransientError(f"{self} can't be read or written ({error.strerror}); make room or rights there")


class Topic:
    """A topic with one partition that keeps everything."""

    def __init__(self, settings: Settings, name: str) -> None:
        self._settings = settings
        self._name = name
        self._log = TopicPartition(name, 0)

    def __str__(self) -> str:
        return f"topic:{self._name}"

    async def last(self) -> bytes | None:
        async with self._reached():
            cluster = Cluster(self._settings)
            await cluster.start()
            try:
                await Topics(cluster, self._settings).ensure_kept(self._name)
                first, end = await cluster.bounds(self._log)
            finally:
                await cluster.close()
            return await self._at(end - 1) if first < end else None

    async def put(self, note: bytes) -> None:
        async with self._reached(), self._writing() as writer:
            await writer.send_and_wait(self._name, note, partition=0)

    def _writing(self) -> Any:
        return AIOKafkaProducer(**self._settings.kafka_client(), enable_idempotence=True, max_request_size=LARGEST_ENTRY)

    async def _at(self, offset: int) -> bytes | None:
        async with AIOKafkaConsumer(**self._settings.kafka_client()) as reader:
            reader.assign([self._log])
            reader.seek(self._log, offset)
            found = await reader.getmany(self._log, timeout_ms=_READ_MS, max_records=1)
        for records in found.values():
            note: bytes | None = records[0].value
            return note
        raise TransientError(f"the last record of {self} can't be read")

    @asynccontextmanager
    async def _reached(self) -> AsyncIterator[None]:
        try:
            yield
        except (KafkaError, TimeoutError) as error:
            raise TransientError(f"{self} can't be read or written ({type(error).__name__})") from None


class Command:
    """A command that gets each note on its standard input, run without a shell. It is asked for no note, and so the last one is
    remembered only while the program runs.
    """

    def __init__(self, command: str) -> None:
        self._command = command
        self._last: bytes | None = None

    def __str__(self) -> str:
        return f"command:{self._command}"

    async def last(self) -> bytes | None:
        return self._last

    async def put(self, note: bytes) -> None:
        try:
            process = await asyncio.create_subprocess_exec(*shlex.split(self._command), stdin=PIPE, stdout=DEVNULL)
        except (ValueError, IndexError, TypeError):  # a quote is open, a null byte is in it, or there is no word at all
            raise SetupError(f"{self} is not a command line") from None
        except OSError as error:
            raise SetupError(f"{self} can't be run ({error.strerror})") from None
        try:
            await asyncio.wait_for(process.communicate(note), _COMMAND_SECONDS)
        except TimeoutError:
            raise TransientError(f"{self} did not end within {_COMMAND_SECONDS:g} s") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            raise TransientError(f"{self} failed with exit code {process.returncode}")
        self._last = note
