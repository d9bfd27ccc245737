"""The straight line: a record goes in, its one outcome comes out.

`Masker.mask` reads as the whole story of an event. It is a pure function of record, policy and keys: no clock, no IO, no
randomness, so that a retry or a replay gives the same bytes. What a record holds never leaves it but through a plan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from cdc_masker import envelope, flattened
from cdc_masker.batches import MaskedBatch, Masking, gathered
from cdc_masker.codecs import connect, json
from cdc_masker.codecs.json import Members
from cdc_masker.engine import Engine, RowPlan
from cdc_masker.envelope import Control, Event, Key, Notification, RowChange, Signal, Tombstone
from cdc_masker.errors import InputError, Reason
from cdc_masker.events import Fate, Outcome, Record, output_topic
from cdc_masker.flattened import FlattenedRow
from cdc_masker.guard import WHOLE, EgressGuard
from cdc_masker.lookup import Table, as_in_topics
from cdc_masker.methods import METHODS, NO_SUBJECTS, Context, Keys, Method, MissingSubject, Subjects
from cdc_masker.plans import Plans
from cdc_masker.policies import ANY_SERVER, EnvelopeShape, Policy, Rule

if TYPE_CHECKING:
    from cdc_masker.native import NativeCore

__all__ = ["HEADER", "Masker"]

HEADER = "cdc-masker"

# Kafka's own bytes around a record: batch header, varints of lengths, offset and timestamp.
_FRAMING_BYTES = 128
_LONGEST_PLACE = 1000


class Masker:
    """One policy with its keys, ready to mask. Raises `PolicyError` or `KeyringError` when it can't be carried out.

    `generation` numbers the masked copy that the records go to; with `output_prefix` it makes the copy's name. `began` is the
    policy under which that copy began, whose shape of rows it keeps; without it, rows have that of `policy`.
    A masked record of more than `max_record_bytes` is quarantined, and one in which `guard` (by default it looks at each) finds
    what should have been masked. `known` are the methods that rules may name.
    `native`: the compiled core masks the records of a batch that it can (`cdc_masker.native`); nothing else comes out for that.
    """

    def __init__(
        self,
        policy: Policy,
        keys: Keys,
        *,
        generation: int = 1,
        began: Policy | None = None,
        output_prefix: str = "masked.",
        max_record_bytes: int = 1_000_000,
        guard: EgressGuard | None = None,
        known: Mapping[str, type[Method]] = METHODS,
        native: bool = False,
    ) -> None:
        self.policy = policy
        later = began is not None and began.version != policy.version
        self._engine = Engine(policy, keys, known, began if later else None)
        self._plans = Plans(self._engine)
        self._headers = frozenset(policy.headers)
        self._flattened = frozenset(each.topic for each in policy.envelopes if each.shape == "flattened")
        self._dropped = frozenset(each.topic for each in policy.envelopes if _drops(each, policy.rules))
        named = {(rule.schema, rule.table) for rule in policy.rules} | {(each.schema, each.table) for each in policy.tables}
        self._prefixes = frozenset(table for schema, table in named if not schema)
        self.shape_version = began.version if began is not None and later else None
        shape = "" if self.shape_version is None else f";sv={self.shape_version}"
        self._made_by = f"g={generation};pv={policy.version};ke={policy.key_epoch}{shape}"
        self._output_prefix = output_prefix
        self._generation = generation
        self._max_record_bytes = max_record_bytes
        self._guard = guard or EgressGuard()
        self._native = self._compiled() if native else None

    def undecided(self) -> dict[str, frozenset[str]]:
        """By topic, the columns seen so far that the policy does not decide: they are redacted, and worth a look."""
        return self._plans.columns(lambda plan: plan.undecided)

    def collapsed(self) -> dict[str, frozenset[str]]:
        """By topic, the key columns seen so far in which a constant stands: different rows get the same key."""
        return self._plans.columns(lambda plan: plan.collapsed)

    def withheld(self) -> dict[str, frozenset[str]]:
        """By topic, the columns seen so far that are not masked as decided, since rows would get another shape."""
        return self._plans.columns(lambda plan: plan.withheld)

    def mask_batch(self, records: Iterable[Record], subjects: Subjects = NO_SUBJECTS) -> MaskedBatch:
        """What becomes of consecutive records of one partition. Raises `MissingSubject` after `subjects` was asked for all that
        miss.
        """
        masking = self.begin([*records])
        masking.ahead()
        masking.go_on(masking.left, subjects)
        return masking.batch()

    def begin(self, records: Sequence[Record]) -> Masking:
        """The same in steps, for who has other things to do meanwhile."""
        if self._native is not None:
            return self._native.begin(records, self._mask_each)
        return _ByPython(records, self._mask_each)

    def _compiled(self) -> NativeCore:
        if type(self._guard) is not EgressGuard:
            raise TypeError("the compiled core guards by itself; a guard of one's own needs native=False")
        from cdc_masker.native import NativeCore  # which not everybody has

        return NativeCore(
            self._plans,
            self._engine.lookup,
            header=HEADER,
            made_by=self._made_by,
            headers=self._headers,
            excluded=self._flattened | self._dropped,
            max_record_bytes=self._max_record_bytes,
            guard_every=self._guard.every,
        )

    def _mask_each(self, records: Iterable[Record], subjects: Subjects) -> list[Outcome | None]:
        """The outcomes; None of a record whose subjects have no key yet."""
        outcomes: list[Outcome | None] = []
        for record in records:
            try:
                outcomes.append(self.mask(record, subjects))
            except MissingSubject:
                outcomes.append(None)
        return outcomes

    def mask(self, record: Record, subjects: Subjects = NO_SUBJECTS) -> Outcome:
        """The outcome of one record. Whatever is wrong with the record is an outcome, too: it never raises for that.

        Raises `MissingSubject` if keys of subjects have to be fetched first; `subjects` was asked for all of them.
        """
        context = Context(record.topic, record.partition, record.offset, subjects)
        try:
            outcome = self._masked(record, context)
            if _size(outcome) > self._max_record_bytes:
                raise InputError(Reason.TOO_LARGE, "record")
        except InputError as error:
            outcome = Outcome(
                Fate.QUARANTINED,
                record.topic,
                record.partition,
                record.offset,
                record.timestamp,
                reason=error.reason,
                place=error.place if _can_be_stored(error.place) else None,
            )
        if context.missing:
            raise MissingSubject
        return outcome

    def _masked(self, record: Record, context: Context) -> Outcome:
        match self._read(record):
            case Event() as event:
                table = self._table(event, record.topic)
                key = _read_key(record)
                masked_key, headers = self._key(table, key, context), self._let_through(record, table, key, context)
                value, rows = self._value(event, table, key, context)
                outcome = self._published(record, _fate(event), masked_key, value, headers, context)
                self._guard.check(outcome, rows)
                return outcome
            case FlattenedRow() as row:
                table = self._engine.lookup.table_of(record.topic)
                row.check_table(table.server, table.schema, table.name)
                key = _read_key(record)
                plan, schema = self._plans.flattened(table, row, _columns(key))
                value = envelope.wrap(schema, plan.apply(row.columns, WHOLE, context) if row.columns else b"null")
                headers = self._let_through(record, table, key, context)
                masked_key = self._key(table, key, context)
                outcome = self._published(record, Fate.MASKED, masked_key, value, headers, context)
                if row.columns:
                    self._guard.check(outcome, {WHOLE: (row.columns, plan)})
                return outcome
            case Tombstone():  # without a key, of a table that has none
                key = _read_key(record)
                table = self._engine.lookup.table_of(record.topic)
                headers = self._let_through(record, table, key, context)
                return self._published(record, Fate.MASKED, self._key(table, key, context), None, headers, context)
            case Control() as control:
                return self._published(
                    record,
                    Fate.CONTROL,
                    envelope.wrap(_control_schema(control.key_schema), control.key),
                    envelope.wrap(_control_schema(control.schema), control.value),
                    self._let_through(record, Table("", "", "", record.topic), None, context),
                    context,
                )
            case Notification():
                return _dropped(record, Reason.NOTIFICATION)
            case Signal():
                return _dropped(record, Reason.SIGNAL)

    def _read(self, record: Record) -> Event | FlattenedRow | Tombstone | Control | Notification | Signal:
        if record.topic in self._dropped:
            return Signal()
        if record.value is not None and record.topic in self._flattened:
            return flattened.read(record.value)
        return envelope.read(record)

    def _table(self, event: Event, topic: str) -> Table:
        """The table that rules name. A prefix that none of them names is left out: plans are kept by table, and prefixes may be
        as many as there are messages.
        """
        source = event.source
        if isinstance(event.body, RowChange):
            return Table(source.name, source.schema, source.table, topic)
        prefix = event.body.prefix()
        return Table(source.name, "", prefix if prefix in self._prefixes else "", topic)

    def _published(
        self,
        record: Record,
        fate: Fate,
        key: bytes | None,
        value: bytes | None,
        headers: list[tuple[str, bytes | None]],
        context: Context,
    ) -> Outcome:
        """The masked record, with a header that tells where it came from and what it was made by."""
        control = ";f=control" if fate is Fate.CONTROL else ""  # so that an audit can tell it without the raw record
        origin = f"v=1;p={record.partition};o={record.offset};{self._made_by}{control}"
        return Outcome(
            fate,
            record.topic,
            record.partition,
            record.offset,
            record.timestamp,
            target=output_topic(self._output_prefix, record.topic, self._generation),
            key=key,
            value=value,
            headers=(*headers, (HEADER, origin.encode())),
            misfits=tuple(context.misfits),
            treatments=tuple(context.treatments),
        )

    def _key(self, table: Table, key: Key | None, context: Context) -> bytes | None:
        if key is None:
            return None
        plan, schema = self._plans.key(table, key)
        return envelope.wrap(schema, plan.apply(key.columns, "key", context))

    def _value(
        self, event: Event, table: Table, key: Key | None, context: Context
    ) -> tuple[bytes, dict[str, tuple[Members, RowPlan]]]:
        """The masked event, and its raw row images with the plans that they went through."""
        key_columns = _columns(key)
        described = None if event.schema is None else self._plans.event(table, event.schema, key_columns)
        masked, rows = {}, {}
        for place, image in event.images():
            text = bytes(image)
            if text == b"null":
                continue
            row = json.members(text, Reason.BAD_ENVELOPE, place)
            if described is None:
                plan = self._plans.plain(table, row, key_columns)
            elif place in described.rows:
                plan = described.rows[place]
            else:
                raise InputError(Reason.SCHEMA_MISMATCH, place)
            masked[place], rows[place] = plan.apply(row, place, context), (row, plan)
        return envelope.write(event, masked, None if described is None else described.schema), rows

    def _let_through(self, record: Record, table: Table, key: Key | None, context: Context) -> list[tuple[str, bytes | None]]:
        """The headers that the policy allows, and the other key of a key change, masked as the key."""
        kept: list[tuple[str, bytes | None]] = []
        for name, value in record.headers:
            if name in envelope.KEY_HEADERS and value is not None:
                kept.append((name, self._other_key(value, table, key, name, context)))
            elif name in self._headers:
                kept.append((name, value))
        return kept

    def _other_key(self, text: bytes, table: Table, key: Key | None, place: str, context: Context) -> bytes:
        if key is None:
            raise InputError(Reason.BAD_KEY, place)
        other = envelope.read_key(text, place)
        # Debezium writes it without a schema even where keys have one: the record's own key tells the types.
        plan, schema = self._plans.key(table, key if other.schema is None else other)
        return envelope.wrap(schema if other.schema is not None else None, plan.apply(other.columns, place, context))


class _ByPython:
    """A batch that Python's core masks, record by record; see `cdc_masker.batches.Masking`."""

    def __init__(
        self, records: Sequence[Record], mask: Callable[[Iterable[Record], Subjects], Sequence[Outcome | None]]
    ) -> None:
        self._records = records
        self._mask = mask
        self._outcomes: list[Outcome | None] = [None] * len(records)

    @property
    def left(self) -> Sequence[int]:
        return [place for place, outcome in enumerate(self._outcomes) if outcome is None]

    def ahead(self) -> None:
        """Python's core holds up other threads whatever it does."""

    def go_on(self, places: Sequence[int], subjects: Subjects) -> None:
        outcomes = self._mask([self._records[place] for place in places], subjects)
        for place, outcome in zip(places, outcomes, strict=True):
            self._outcomes[place] = outcome
        if None in outcomes:
            raise MissingSubject

    def batch(self) -> MaskedBatch:
        return gathered([outcome for outcome in self._outcomes if outcome is not None])


def _read_key(record: Record) -> Key | None:
    return None if record.key is None else envelope.read_key(record.key, "key")


def _columns(key: Key | None) -> frozenset[str]:
    return frozenset() if key is None else frozenset(key.columns)


def _drops(shape: EnvelopeShape, rules: Iterable[Rule]) -> bool:
    """Whether a topic holds signals, and no rule names their table."""
    return shape.shape == "signals" and not any(_names(rule, shape) for rule in rules)


def _names(rule: Rule, shape: EnvelopeShape) -> bool:
    """Whether the rule writes out the table whose rows are in that topic, as stated or as the topic's name ends."""
    if shape.table is not None:
        server, named = shape.server or rule.server, (rule.schema, rule.table) == (shape.schema, shape.table)
    else:
        server = shape.topic.removesuffix("." + as_in_topics(f"{rule.schema}.{rule.table}"))
        named = server != shape.topic
    return named and rule.server in (server, ANY_SERVER)


def _can_be_stored(place: str) -> bool:
    """Places can end in a name that came with the record, and PostgreSQL takes no NUL in a text."""
    return len(place) <= _LONGEST_PLACE and "\0" not in place


def _dropped(record: Record, reason: Reason) -> Outcome:
    return Outcome(Fate.DROPPED, record.topic, record.partition, record.offset, record.timestamp, reason=reason)


def _fate(event: Event) -> Fate:
    """A truncation has no rows: nothing of it was masked."""
    return Fate.CONTROL if isinstance(event.body, RowChange) and event.body.op == "t" else Fate.MASKED


def _control_schema(text: bytes | None) -> bytes | None:
    if text is None:
        return None
    schema = connect.parse(text, "schema")
    return msgspec.json.encode(connect.write_schema(schema, connect.allowed(schema, envelope.CONTROL_FIELDS)))


def _size(outcome: Outcome) -> int:
    headers = sum(len(name.encode()) + len(value or b"") for name, value in outcome.headers)
    return len(outcome.key or b"") + len(outcome.value or b"") + headers + _FRAMING_BYTES
