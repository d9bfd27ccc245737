"""Hears at once what is new in the catalog: a version, a signature, an erasure.

The catalog tells it by NOTIFY, on a channel with the name of its schema. A notice is a hint and nothing more: whoever is woken
looks for himself, and whoever waits looks now and then in any case. So it does no harm that anybody may notify, and that
notices are lost while the connection is broken. It has a connection of its own, asked from time to time whether it is still
there, and made again when it is not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from cdc_masker.catalog.database import open_engine, refusals
from cdc_masker.errors import SetupError, TransientError
from cdc_masker.settings import Settings

__all__ = ["Notices"]

logger = logging.getLogger(__name__)

_ALIVE_SECONDS = 15.0
_ANSWER_SECONDS = 5.0
_RETRY_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0)


class Notices:
    """Runs until it is cancelled. `news` is called for each notice, and whenever notices may have been missed."""

    def __init__(self, settings: Settings, news: Callable[[], None], *, alive_seconds: float = _ALIVE_SECONDS) -> None:
        self._settings = settings
        self._news = news
        self._alive = alive_seconds

    async def run(self) -> None:
        """Hears for ever; while the catalog is away, those who wait for news look by themselves."""
        attempt = 0
        while True:
            try:
                async with self._listening() as connection:
                    logger.info("news of the catalog are heard")
                    attempt = 0
                    self._news()
                    await self._hear(connection)
            except (TransientError, SetupError) as error:
                if attempt == 0:
                    logger.warning("news of the catalog can't be heard, they are looked for: %s", error)
            await asyncio.sleep(_RETRY_SECONDS[min(attempt, len(_RETRY_SECONDS) - 1)])
            attempt += 1

    @asynccontextmanager
    async def _listening(self) -> AsyncIterator[Any]:
        """The driver's own connection, which listens."""
        engine = open_engine(self._settings, statement_seconds=_ANSWER_SECONDS)
        try:
            with refusals(self._settings.database_schema):
                async with engine.connect() as connection:
                    pooled = await connection.get_raw_connection()
                    driver: Any = pooled.driver_connection
                    try:
                        await driver.add_listener(self._settings.database_schema, lambda *_: self._news())
                        yield driver
                    finally:
                        await connection.invalidate()  # it may be gone, and nobody else may get one that listens
        finally:
            await engine.dispose()

    async def _hear(self, connection: Any) -> None:
        """Raises `TransientError` when the connection is gone, and what the driver raises when it does not answer."""
        gone = asyncio.Event()
        connection.add_termination_listener(lambda _: gone.set())
        while not gone.is_set():
            try:
                await asyncio.wait_for(gone.wait(), self._alive)
            except TimeoutError:
                await connection.execute("SELECT 1")
        raise TransientError("the connection to PostgreSQL broke")
