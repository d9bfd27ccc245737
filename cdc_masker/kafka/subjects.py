"""The keys of subjects that this worker holds, so that most batches are masked without a question to the catalog.

What always holds: a batch is published only if every key in it stands. A key stands while no erasure of its subject was heard
of and the worker heard from the catalog within its lease; `confirm` looks at that when all of the batch is with the brokers
and only the commit is left. So a worker that was cut off stops by itself, before the others stop waiting for it. Who is being
erased is asked for with each batch and kept nowhere.

The number of subjects kept is bounded; a batch keeps those it has met until it ends, so it ends whatever the bound is.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from cdc_masker.batches import MaskedBatch
from cdc_masker.errors import TransientError
from cdc_masker.events import Record
from cdc_masker.methods import Keys, MissingSubject
from cdc_masker.methods.base import Erased
from cdc_masker.pipeline import Masker
from cdc_masker.ports import SubjectStore
from cdc_masker.settings import Settings
from cdc_masker.subjects import KEY_BYTES, Asked, Log, Standing, SubjectCipher, SubjectName

__all__ = ["BatchSubjects", "SubjectKeys", "Unconfirmed", "boottime"]

logger = logging.getLogger(__name__)

_SLICE_BYTES = 1 << 16  # of values that are masked without a look at the time
_TURN_SECONDS = 0.05
_RETRY_SECONDS = (0.1, 0.5, 1.0, 2.0)


def boottime() -> float:
    """Seconds by a clock that goes on while the machine sleeps, so that no lease outlives a pause."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Unconfirmed(TransientError):
    """A key in the batch may not stand any more: mask it anew. Nothing was published."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What the catalog said of a subject. Without a key it is being erased, or nothing came of it since it was erased."""

    key: bytes | None = field(repr=False)
    erased: Mapping[Log, int]
    erasing: bool


class SubjectKeys:
    """What this worker knows of subjects, for all of its lanes."""

    def __init__(self, settings: Settings, store: SubjectStore, keys: Keys, *, clock: Callable[[], float] = boottime) -> None:
        self._store = store
        self._keys = keys
        self._clock = clock
        self._size = settings.subject_cache
        self._known: OrderedDict[tuple[SubjectName, int], _Known] = OrderedDict()
        self._ciphers: dict[tuple[str, int], SubjectCipher] = {}
        self._batches: set[BatchSubjects] = set()
        self._drops = 0
        self._confirms_until = -math.inf
        self._news = asyncio.Event()

    @contextmanager
    def batch(self, key_epoch: int, log: Log, end: int) -> Iterator[BatchSubjects]:
        """The subjects of one batch of that log, which ends before offset `end`, while it is masked and published."""
        subjects = BatchSubjects(self, key_epoch, log, end)
        self._batches.add(subjects)
        try:
            yield subjects
        finally:
            self._batches.remove(subjects)
            self._tell()

    def hear(self, names: Iterable[SubjectName], until: float) -> None:
        """The catalog answered: these are erased, and what is held stands until that time of the clock."""
        gone = set(names)
        if gone:
            self._drops += 1
            for known in [known for known in self._known if known[0] in gone]:
                del self._known[known]
            for batch in self._batches:
                batch.drop(gone)
        self._confirms_until = until
        self._tell()

    async def settled(self) -> None:
        """Returns when no batch holds a key that was dropped."""
        while any(batch.stale for batch in self._batches):
            await self._news.wait()

    async def sure(self) -> None:
        """Returns when keys can be confirmed."""
        while not self.confirms:
            await self._news.wait()

    @property
    def confirms(self) -> bool:
        """Whether the catalog was heard from within the lease."""
        return self._clock() < self._confirms_until

    def cipher(self, domain: str, key_epoch: int) -> SubjectCipher:
        cipher = self._ciphers.get((domain, key_epoch))
        if cipher is None:
            cipher = self._ciphers[domain, key_epoch] = SubjectCipher(self._keys, domain, key_epoch)
        return cipher

    def recall(self, name: SubjectName, key_epoch: int) -> _Known | None:
        """What is known, without a question."""
        known = self._known.get((name, key_epoch))
        if known is not None:
            self._known.move_to_end((name, key_epoch))
        return known

    async def look_up(self, asked: Sequence[Asked], log: Log, end: int) -> list[_Known]:
        """Asks the catalog, for as long as it is away. An answer that an erasure may have overtaken is asked for again."""
        attempt = 0
        while True:
            drops = self._drops
            try:
                answers = await self._store.look_up(asked, log, end)
            except TransientError as error:
                logger.warning("%s[%d] waits for keys of subjects (%s)", log.topic, log.partition, error)
                await asyncio.sleep(_RETRY_SECONDS[min(attempt, len(_RETRY_SECONDS) - 1)])
                attempt += 1
                continue
            if drops == self._drops:
                return [self._learn(one, standing) for one, standing in zip(asked, answers, strict=True)]

    def _learn(self, one: Asked, standing: Standing) -> _Known:
        key = None
        if standing.wrapped is not None:
            key = self.cipher(one.name.domain, one.epoch).unwrap(standing.wrapped, one.name)
        known = _Known(key, standing.erased, standing.erasing)
        if not known.erasing:
            self._known[one.name, one.epoch] = known
            self._known.move_to_end((one.name, one.epoch))
            while len(self._known) > self._size:
                self._known.popitem(last=False)
        return known

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


class BatchSubjects:
    """The subjects of one batch; satisfies `cdc_masker.methods.Subjects` for the records of its log."""

    def __init__(self, worker: SubjectKeys, key_epoch: int, log: Log, end: int) -> None:
        self._worker = worker
        self._epoch = key_epoch
        self._log = log
        self._end = end
        self._held: dict[tuple[str, str], _Known] = {}
        self._names: set[SubjectName] = set()
        self._asked: dict[tuple[str, str], Asked] = {}
        self.stale = False

    async def mask(self, masker: Masker, records: Sequence[Record]) -> MaskedBatch:
        """What becomes of the batch, as `Masker.mask_batch` gives it; asks the catalog for who is new, all at once.

        What can be masked in another thread is. Now and then what else this one does gets its turn: a few thousand wide rows
        can take many seconds.
        """
        masking = masker.begin(records)
        await asyncio.to_thread(masking.ahead)
        while left := masking.left:
            missing, since = False, time.perf_counter()
            for places in _sliced(records, left):
                try:
                    masking.go_on(places, self)
                except MissingSubject:
                    missing = True
                if time.perf_counter() - since > _TURN_SECONDS:
                    await asyncio.sleep(0)
                    since = time.perf_counter()
            if missing:
                await self._look_up()
        return masking.batch()

    def key(self, domain: str, subject: str, topic: str, partition: int, offset: int) -> bytes:
        """The subject's key for a record at that offset. Raises `Erased` or `MissingSubject`."""
        known = self._held.get((domain, subject)) or self._recall(domain, subject)
        if known.erasing or offset < known.erased.get(self._log, 0):
            raise Erased
        if known.key is None:
            self._ask(domain, subject, renew=True)
            raise MissingSubject
        return known.key

    def confirm(self) -> None:
        """Raises `Unconfirmed` unless every key that the batch was masked with stands."""
        if self._held and (self.stale or not self._worker.confirms):
            raise Unconfirmed(f"keys of subjects in a batch of {self._log.topic}[{self._log.partition}] can't be confirmed")

    def drop(self, gone: set[SubjectName]) -> None:
        """If the batch holds any of them, it can't be confirmed any more."""
        self.stale = self.stale or not self._names.isdisjoint(gone)

    def _recall(self, domain: str, subject: str) -> _Known:
        name = self._worker.cipher(domain, self._epoch).name(subject)
        known = self._worker.recall(name, self._epoch)
        if known is None:
            self._ask(domain, subject, renew=False)
            raise MissingSubject
        self._hold(domain, subject, name, known)
        return known

    def _ask(self, domain: str, subject: str, *, renew: bool) -> None:
        if (domain, subject) not in self._asked:
            cipher = self._worker.cipher(domain, self._epoch)
            name = cipher.name(subject)
            candidate = cipher.wrap(secrets.token_bytes(KEY_BYTES), name)
            self._asked[domain, subject] = Asked(name, self._epoch, candidate, renew)

    async def _look_up(self) -> None:
        asked, self._asked = self._asked, {}
        found = await self._worker.look_up(list(asked.values()), self._log, self._end)
        for (domain, subject), one, known in zip(asked.keys(), asked.values(), found, strict=True):
            self._hold(domain, subject, one.name, known)

    def _hold(self, domain: str, subject: str, name: SubjectName, known: _Known) -> None:
        self._held[domain, subject] = known
        self._names.add(name)


def _sliced(records: Sequence[Record], places: Sequence[int]) -> Iterator[Sequence[int]]:
    """These records in runs, which end when they have so many bytes: a row of thousands of columns is one by itself."""
    start = size = 0
    for end, place in enumerate(places, start=1):
        size += len(records[place].value or b"")
        if size >= _SLICE_BYTES:
            yield places[start:end]
            start, size = end, 0
    if start < len(places):
        yield places[start:]
