"""Tells the catalog that this worker is here, and hears of erasures.

Each answer lets the worker use the keys of subjects it holds until its lease is over, counted from before the question. It
acknowledges an erasure when it holds none of these keys and no batch with them can be published any more. Whoever erases waits
for that, or until the worker can't publish any more in any case: its lease is over, and Kafka has ended what it began.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from uuid import uuid4

from cdc_masker.errors import CdcMaskerError, SetupError, TransientError
from cdc_masker.kafka.subjects import SubjectKeys, boottime
from cdc_masker.ports import SubjectStore
from cdc_masker.settings import Settings

__all__ = ["Presence"]

logger = logging.getLogger(__name__)

_SHARE = 6  # of the lease: so many times a worker tells that it is here
_SETTLING_SECONDS = 15.0  # until Kafka's coordinator has aborted a transaction whose time is over


class Presence:
    """One worker, by a name of its own for this process."""

    def __init__(
        self,
        settings: Settings,
        name: str,
        store: SubjectStore,
        subjects: SubjectKeys,
        *,
        clock: Callable[[], float] = boottime,
    ) -> None:
        self._lease = settings.subject_lease
        self._publishes_for = settings.subject_lease + settings.transaction_timeout + _SETTLING_SECONDS
        self._name = name
        self._store = store
        self._subjects = subjects
        self._clock = clock
        self._worker = uuid4()
        self._knows: int | None = None
        self._away = False
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """There may be news."""
        self._woken.set()

    async def tell(self) -> None:
        """Tells once, and acknowledges what it hears as soon as that is true. Raises `TransientError`."""
        while True:
            asked = self._clock()
            news = await self._store.here(self._worker, self._name, self._knows, self._publishes_for)
            self._subjects.hear(news.names, asked + self._lease)
            if news.newest == self._knows:
                return
            if news.names:
                logger.info("%d names of subjects were erased; their keys are dropped", len(news.names))
            try:
                await asyncio.wait_for(self._subjects.settled(), self._lease / _SHARE)
            except TimeoutError:
                return  # it is heard, and dropped, again
            self._knows = news.newest

    async def run(self) -> None:
        """Tells for ever; while the catalog is away, keys can't be confirmed once the lease is over."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), self._lease / _SHARE)
            self._woken.clear()
            try:
                await self.tell()
            except (SetupError, TransientError) as error:  # whoever starts anew is told of the first; who runs waits
                if not self._away:
                    logger.warning("%s; keys of subjects are used for %g s at most", error, self._lease)
                self._away = True
            else:
                self._away = False

    async def leave(self) -> None:
        """Tells that this worker holds no key any more, so that nobody waits for it."""
        with suppress(CdcMaskerError):
            await self._store.leave(self._worker)
