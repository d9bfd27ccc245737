"""The worker: a Faust app that masks the partitions it is assigned.

`faust -A cdc_masker.worker worker` and `cdc-masker worker` both start `app`, which is built from the settings when it is first
asked for: importing this module does nothing. Before the worker joins its group, `kafka.starting` checks what it needs, and
refuses with one sentence: with exit code 2, or `EXIT_FAILED` if it may find what it needs when it is started again. Then Faust
runs one actor for each source partition, and beside them run the tasks of `MaskerApp._tasks`.

What always holds: Faust commits no offset, produces no record and serves no page; whatever ends one of our tasks by an
exception ends the process, so Faust never sees one and never goes on behind a batch that was not published.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import threading
import time
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NoReturn

import faust
from faust.app.base import BootStrategy

from cdc_masker import metrics
from cdc_masker.catalog.notices import Notices
from cdc_masker.errors import CdcMaskerError, TransientError
from cdc_masker.kafka import lines, starting
from cdc_masker.kafka.beside import beside
from cdc_masker.kafka.failing import EXIT_FAILED, conceal, fail_stop
from cdc_masker.kafka.gate import REASONS
from cdc_masker.kafka.lanes import Lanes
from cdc_masker.kafka.replays import PAUSED, Cancelled
from cdc_masker.kafka.site import Site
from cdc_masker.kafka.transport import BatchTransport
from cdc_masker.kafka.watching import Watcher
from cdc_masker.settings import Settings, load

__all__ = ["EXIT_REFUSED", "MaskerApp", "run"]

logger = logging.getLogger(__name__)

EXIT_REFUSED = 2

# At DEBUG these print keys and values of records.
_CLIENT_LOGGERS = ("aiohttp", "aiokafka", "asyncio", "asyncpg", "faust", "kafka", "mode", "sqlalchemy")
_STOPPING_SECONDS = 9.5
_BUFFERED_BATCHES = 8  # lanes never have more than two on their way, so Faust's own flow control rests


class _Boot(BootStrategy):  # type: ignore[misc]  # Faust is untyped to us
    """The parts of Faust that run: sensors, consumer, agents, conductor, and the service that resumes after a rebalance."""

    enable_web = False
    enable_kafka_producer = False

    def kafka_consumer(self) -> list[Any]:
        return [self.app.consumer]


class Worker(faust.Worker):  # type: ignore[misc]
    """Faust's worker, which writes nothing but its log, whatever signal it gets, and stops within a bound."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **{**more, "quiet": True})
        self.spinner = None

    async def stop(self) -> None:
        """Stops everything. While servers don't answer, that would take minutes: then the process ends unfinished."""
        error = TransientError("a server did not answer in time")
        late = threading.Timer(_STOPPING_SECONDS, fail_stop, ("stopping", error))
        late.daemon = True
        late.start()
        await super().stop()

    def _on_sigusr1(self) -> None:
        """Does nothing. Faust would print the variables of every task, with raw records in them."""

    def _on_sigusr2(self) -> None:
        """Does nothing. Faust would stop masking and wait in a debugger."""


class MaskerApp(faust.App):  # type: ignore[misc]
    """A Faust app whose consumer and offsets are ours."""

    BootStrategy = _Boot

    def __init__(self, settings: Settings) -> None:
        super().__init__(
            settings.group,
            broker=f"kafka://{settings.kafka_brokers.split(',')[0]}",
            store="memory://",
            autodiscover=False,
            topic_allow_declare=False,
            topic_disable_leader=True,
            stream_buffer_maxsize=_BUFFERED_BATCHES,
            broker_session_timeout=settings.session_timeout,
            broker_request_timeout=max(90.0, settings.session_timeout),
            logging_config=lines.config(settings.log_format),
            Worker=Worker,
        )
        self.settings = settings
        self._resources = AsyncExitStack()
        self.transport = BatchTransport(self, settings)
        # A topic needs a name to be made; the real ones are found later.
        self._sources = self.topic(settings.group, key_serializer="raw", value_serializer="raw", acks=False)
        self.agent(self._sources, name="mask", isolated_partitions=True)(self._mask)

    async def on_first_start(self) -> None:
        """Checks and opens everything before Faust starts any of its services. Refusing ends the process."""
        _silence()
        try:
            parts, sources = await starting.start(self.settings, self._resources, seconds_gone=_age_of_this_process())
            self._lanes = self.transport.lanes = lanes = Lanes(parts)
            await self._follow(sources)
            await self._serve(Site(self.settings, self._unready))
        except CdcMaskerError as error:
            _refuse(error)
        except Exception as error:  # noqa: BLE001  # fail-stop
            fail_stop("starting", error)
        metrics.expose(lanes.progress, parts.maskers.undecided, parts.maskers.collapsed, parts.maskers.withheld)
        self._parts = parts

    async def on_started(self) -> None:
        """Starts what runs beside the agent."""
        watcher = Watcher(self._parts, self._lanes, self.transport.sources, self._follow)
        tasks = beside(self._parts, self._lanes, lambda wake: Notices(self.settings, wake).run())
        for name, task in (("watching topics", watcher.run()), *tasks):
            self.add_future(self._guarded(name, task))
        await super().on_started()

    async def on_shutdown(self) -> None:
        """Closes what `on_first_start` opened, after every service of Faust has ended."""
        await self._resources.aclose()

    async def _mask(self, stream: Any) -> None:
        """The Faust agent: one actor for each partition, one event for each batch."""
        async for event in stream.noack().events():
            try:
                await self._lanes.take(event.value.pop())
            except Exception as error:  # noqa: BLE001  # fail-stop
                fail_stop("masking", error)

    async def _follow(self, sources: frozenset[str]) -> None:
        """Reads these topics: tells Faust which topics its agent is for, and the consumer which to subscribe to."""
        self._sources.topics = tuple(sorted(sources))
        self.agents.update_topic_index()
        await self.consumer.follow(sources)

    async def _guarded(self, doing: str, task: Coroutine[Any, Any, None]) -> None:
        try:
            await task
        except asyncio.CancelledError:
            raise
        except Cancelled as error:
            await self._lanes.close()
            _refuse(error)
        except Exception as error:  # noqa: BLE001  # fail-stop
            fail_stop(doing, error)

    async def _serve(self, site: Site) -> None:
        await site.start()
        self._resources.push_async_callback(site.stop)

    def _unready(self) -> str | None:
        if not self._lanes.settled:
            return "partitions are being assigned or opened"
        if not self._parts.lag.bearable.is_set():
            return "the audit is too far behind"
        waits_for = self._parts.waits_for
        return None if waits_for is None else {**REASONS, PAUSED: "the replay is paused"}[waits_for]


def _silence() -> None:
    """Keeps raw values out of logs and core dumps, whatever level was asked for."""
    for name in _CLIENT_LOGGERS:
        client = logging.getLogger(name)
        client.setLevel(max(client.getEffectiveLevel(), logging.INFO))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _age_of_this_process() -> float:
    """Seconds since it was started: on a busy machine, loading the program alone takes many."""
    began_ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - began_ticks / os.sysconf("SC_CLK_TCK")


def _refuse(error: CdcMaskerError) -> NoReturn:
    lines.say(str(error))
    code = EXIT_FAILED if isinstance(error, TransientError) else EXIT_REFUSED
    os._exit(code)  # nothing goes on, and Faust would turn an exception into another code and a traceback


_app: MaskerApp | None = None


def _the_app() -> MaskerApp:
    """The app of this process, built from the settings."""
    global _app  # Faust finds an app by module and name
    if _app is None:
        conceal()
        try:
            settings = load()
            lines.begin(settings.log_format)
            starting.check(settings)
        except CdcMaskerError as error:
            _refuse(error)
        _app = MaskerApp(settings)
    return _app


def __getattr__(name: str) -> Any:
    if name == "app":
        return _the_app()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def run(loglevel: str) -> None:
    """Runs a worker until it is told to stop, and exits. `loglevel` is a level's name as Faust takes it."""
    app = _the_app()
    app.finalize()
    Worker(app, loglevel=loglevel).execute_from_commandline()
