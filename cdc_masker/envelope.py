"""Debezium's anatomy: which parts an event has, and how a masked one is written.

Everything here is an allow-list. Only the fields that are declared below are decoded, each with its type, and an event is
written from what was decoded: a field that nobody knows is not in the output. Row images are decoded to columns of raw JSON
text; they are the engine's affair.

Field names and their order after the Debezium documentation, PostgreSQL connector, "Data change events" and "Transaction
metadata", and after real captures (`tests/fixtures`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar

import msgspec
from msgspec import UNSET, Raw, UnsetType

from cdc_masker.codecs import json
from cdc_masker.codecs.json import Members
from cdc_masker.errors import InputError, Reason
from cdc_masker.events import Record

__all__ = [
    "CONTROL_FIELDS",
    "EVENT_FIELDS",
    "IMAGES",
    "KEY_HEADERS",
    "Control",
    "Event",
    "Key",
    "LogicalMessage",
    "Notification",
    "RowChange",
    "Signal",
    "Source",
    "Tombstone",
    "read",
    "read_key",
    "unwrap",
    "wrap",
    "write",
]

KEY_HEADERS = ("__debezium.newkey", "__debezium.oldkey")
IMAGES = ("before", "after", "message")
HEARTBEAT_TOPIC = "__debezium-heartbeat"

_Int64 = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
_OptionalInt = _Int64 | None | UnsetType
_OptionalText = str | None | UnsetType


class Source(msgspec.Struct, kw_only=True):
    """The `source` block. Table names are PostgreSQL's own, unlike the topic's name."""

    version: str | UnsetType = UNSET
    connector: str | UnsetType = UNSET
    name: str
    ts_ms: _OptionalInt = UNSET
    snapshot: _OptionalText = UNSET
    db: str | UnsetType = UNSET
    sequence: _OptionalText = UNSET
    ts_us: _OptionalInt = UNSET
    ts_ns: _OptionalInt = UNSET
    schema: str
    table: str
    txId: _OptionalInt = UNSET  # noqa: N815 - Debezium's name
    lsn: _OptionalInt = UNSET
    xmin: _OptionalInt = UNSET
    origin: _OptionalText = UNSET
    origin_lsn: _OptionalInt = UNSET


class Transaction(msgspec.Struct, kw_only=True):
    """The `transaction` block."""

    id: str
    total_order: _Int64
    data_collection_order: _Int64


_OptionalTransaction = Transaction | None | UnsetType


class RowChange(msgspec.Struct, kw_only=True):
    """A change of one row (`c`, `u`, `d`, `r`), or of none (`t`: the table was truncated)."""

    images: ClassVar[tuple[str, ...]] = ("before", "after")

    before: Raw | UnsetType = UNSET
    after: Raw | UnsetType = UNSET
    source: Source
    transaction: _OptionalTransaction = UNSET
    op: Literal["c", "u", "d", "r", "t"]
    ts_ms: _OptionalInt = UNSET
    ts_us: _OptionalInt = UNSET
    ts_ns: _OptionalInt = UNSET


class LogicalMessage(msgspec.Struct, kw_only=True):
    """A message that an application wrote with `pg_logical_emit_message`: treated as a row of a table that is named after its
    prefix and is in no schema (''), with the columns `prefix` and `content`.
    """

    images: ClassVar[tuple[str, ...]] = ("message",)

    op: Literal["m"]
    ts_ms: _OptionalInt = UNSET
    ts_us: _OptionalInt = UNSET
    ts_ns: _OptionalInt = UNSET
    source: Source
    transaction: _OptionalTransaction = UNSET
    message: Raw

    def prefix(self) -> str:
        """Raises `InputError` when there is none."""
        found: _Prefixed = json.decode(_prefixed, self.message, Reason.BAD_ENVELOPE, "message")
        return found.prefix


class _Prefixed(msgspec.Struct):
    prefix: str


_prefixed = msgspec.json.Decoder(_Prefixed)


class _Collection(msgspec.Struct):
    data_collection: str
    event_count: _Int64


_TransactionId = Annotated[str, msgspec.Meta(pattern=r"^[0-9]+(:[0-9]+)?$")]


class _TransactionMetadata(msgspec.Struct, kw_only=True):
    status: Literal["BEGIN", "END"]
    id: _TransactionId
    event_count: _Int64 | None
    data_collections: list[_Collection] | None
    ts_ms: _Int64


class _TransactionKey(msgspec.Struct):
    id: _TransactionId


class _Notification(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    type: str
    aggregate_type: str
    additional_data: dict[str, str] | None
    timestamp: _Int64


class _NotificationKey(msgspec.Struct, forbid_unknown_fields=True):
    id: str


class _Heartbeat(msgspec.Struct):
    ts_ms: _Int64


class _HeartbeatKey(msgspec.Struct):
    serverName: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]+$")]  # noqa: N815 - Debezium's name


Body = TypeVar("Body")


class _Wrapped(msgspec.Struct, Generic[Body]):
    """What Kafka Connect's JsonConverter writes with `schemas.enable=true`."""

    schema: Raw
    payload: Body


# The fields of a schema that the output keeps, by name; what is named here but not a block is kept whole.
_SOURCE_FIELDS = dict.fromkeys(Source.__struct_fields__)
_TRANSACTION_FIELDS = dict.fromkeys(Transaction.__struct_fields__)
EVENT_FIELDS: dict[str, Any] = {
    "source": _SOURCE_FIELDS,
    "transaction": _TRANSACTION_FIELDS,
    **dict.fromkeys(("op", "ts_ms", "ts_us", "ts_ns")),
}
CONTROL_FIELDS: dict[str, Any] = {
    **dict.fromkeys(("status", "id", "event_count", "ts_ms", "serverName")),
    "data_collections": dict.fromkeys(_Collection.__struct_fields__),
}


@dataclass(frozen=True, slots=True)
class Key:
    """A record's key: its columns as raw text, and the text of its schema where one is embedded."""

    schema: bytes | None = field(repr=False)
    columns: Members = field(repr=False)


@dataclass(frozen=True, slots=True)
class Event:
    """A change event or logical message: its text as consumed, the schema in it where one is embedded, and its parts."""

    text: bytes = field(repr=False)
    schema: bytes | None = field(repr=False)
    body: RowChange | LogicalMessage = field(repr=False)

    @property
    def source(self) -> Source:
        return self.body.source

    def images(self) -> Iterator[tuple[str, Raw]]:
        """The row images that are there (`null` counts), with their places."""
        for place in self.body.images:
            image = getattr(self.body, place)
            if image is not UNSET:
                yield place, image


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A record without a value: compaction may forget its key."""


@dataclass(frozen=True, slots=True)
class Control:
    """A heartbeat or an event of the transaction topic, with nothing of a row in it: both parts written anew, both schemas
    as they came.
    """

    key_schema: bytes | None = field(repr=False)
    key: bytes = field(repr=False)
    schema: bytes | None = field(repr=False)
    value: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Signal:
    """A record of a topic that holds rows of Debezium's table of signals, with filters over columns: nothing of it passes."""


@dataclass(frozen=True, slots=True)
class Notification:
    """What Debezium tells about its snapshots, with tables and ranges of their keys: nothing of it passes."""


class _Decoder(Generic[Body]):
    """Decodes one shape, with and without an embedded schema. A schema that stood in the text before is recognised by its
    bytes and not read again: records of one table follow each other, and most of their bytes are the schema.
    """

    def __init__(self, plain: Any, wrapped: Any) -> None:
        self._plain = msgspec.json.Decoder(plain)
        self._wrapped = msgspec.json.Decoder(wrapped)
        self._last = b"", b""

    def __call__(self, text: bytes, reason: Reason, place: str) -> tuple[bytes | None, Body]:
        """The schema's text, if there is one, and the body. Raises `InputError(reason)` when the text has another shape, and
        as `json.check_text` does.
        """
        beginning, schema = self._last
        if beginning and text.startswith(beginning) and text.endswith(b"}}"):
            payload = text[len(beginning) : -1]
            with suppress(InputError):  # what is wrong is told after all of it was read
                json.check_text(payload, place, json.MAX_DEPTH - 1)
                return schema, json.decode(self._plain, payload, reason, place)
        json.check_text(text, place)
        if not _has_schema(text):
            return None, json.decode(self._plain, text, reason, place)
        wrapped = json.decode(self._wrapped, text, reason, place)
        schema = bytes(wrapped.schema)
        self._last = b'{"schema":' + schema + b',"payload":', schema
        return schema, wrapped.payload


_has_schema = re.compile(rb'\s*\{\s*"schema"\s*:\s*\{').match

_columns = _Decoder[Members](Members, _Wrapped[Members])
_payload = _Decoder[Raw](Raw, _Wrapped[Raw])
_change = _Decoder[RowChange](RowChange, _Wrapped[RowChange])
_message = _Decoder[LogicalMessage](LogicalMessage, _Wrapped[LogicalMessage])
_transaction = _Decoder[_TransactionMetadata](_TransactionMetadata, _Wrapped[_TransactionMetadata])
_transaction_key = _Decoder[_TransactionKey](_TransactionKey, _Wrapped[_TransactionKey])
_heartbeat = _Decoder[_Heartbeat](_Heartbeat, _Wrapped[_Heartbeat])
_heartbeat_key = _Decoder[_HeartbeatKey](_HeartbeatKey, _Wrapped[_HeartbeatKey])
_notification = _Decoder[_Notification](_Notification, _Wrapped[_Notification])
_notification_key = _Decoder[_NotificationKey](_NotificationKey, _Wrapped[_NotificationKey])
_encode = msgspec.json.Encoder().encode


def read(record: Record) -> Event | Tombstone | Control | Notification:
    """Tells what a record is. Raises `InputError` for what is no event of Debezium's."""
    if record.value is None:
        return Tombstone()
    for decoder in (_change, _message):
        try:
            schema, body = decoder(record.value, Reason.UNKNOWN_SHAPE, "value")
        except InputError as error:
            if error.reason is not Reason.UNKNOWN_SHAPE:
                raise
        else:
            return Event(record.value, schema, body)
    return _read_control(record, record.value)


def read_key(text: bytes, place: str) -> Key:
    """The columns of a key, or of the key in a key-change header. Raises `InputError` when it is no JSON object."""
    schema, columns = _columns(text, Reason.BAD_KEY, place)
    if not columns:
        raise InputError(Reason.BAD_KEY, place)
    _check_length(text, json.compact_length(columns), schema, place)
    json.refuse_nested_duplicates(text if schema is None else text[len(schema) :], columns, place)
    return Key(schema, columns)


def unwrap(text: bytes, place: str) -> tuple[bytes | None, bytes]:
    """The text of an embedded schema, if there is one, and that of the payload. Raises `InputError`."""
    schema, payload = _payload(text, Reason.UNKNOWN_SHAPE, place)
    _check_length(text, len(payload), schema, place)
    return schema, bytes(payload)


def write(event: Event, masked: Mapping[str, bytes], schema: bytes | None) -> bytes:
    """The event with its masked row images, by place, and its masked schema. Raises `InputError` for a duplicate name.

    All else is written from what was decoded. So a text that had more in it than the output has (a field nobody knows, a
    space, a name twice) shows in the lengths, and only then it is searched for duplicates.
    """
    raw = dict(event.images())
    payload = _encode(msgspec.structs.replace(event.body, **{place: Raw(text) for place, text in masked.items()}))
    grown = sum(len(text) - len(raw[place]) for place, text in masked.items())
    _check_length(event.text, len(payload) - grown, event.schema, "value")
    return wrap(schema, payload)


def wrap(schema: bytes | None, payload: bytes) -> bytes:
    """Payload and schema as Kafka Connect's JsonConverter writes them; the payload alone where there is no schema."""
    return payload if schema is None else b"".join((b'{"schema":', schema, b',"payload":', payload, b"}"))


def _read_control(record: Record, text: bytes) -> Control | Notification:
    if record.key is None:
        raise InputError(Reason.UNKNOWN_SHAPE, "value")
    json.check_text(record.key, "key")
    body: _TransactionMetadata | _Heartbeat
    key: _TransactionKey | _HeartbeatKey
    if record.topic.startswith(HEARTBEAT_TOPIC):
        schema, body = _heartbeat(text, Reason.UNKNOWN_SHAPE, "value")
        key_schema, key = _heartbeat_key(record.key, Reason.UNKNOWN_SHAPE, "key")
    elif _is_notification(record.key, text):
        return Notification()
    else:
        schema, body = _transaction(text, Reason.UNKNOWN_SHAPE, "value")
        key_schema, key = _transaction_key(record.key, Reason.UNKNOWN_SHAPE, "key")
    written, written_key = _encode(body), _encode(key)
    _check_length(text, len(written), schema, "value")
    _check_length(record.key, len(written_key), key_schema, "key")
    return Control(key_schema, written_key, schema, written)


def _is_notification(key: bytes, text: bytes) -> bool:
    """Whether it has the members of a notification and no others."""
    try:
        _, told = _notification(text, Reason.UNKNOWN_SHAPE, "value")
        _, named = _notification_key(key, Reason.UNKNOWN_SHAPE, "key")
    except InputError as error:
        if error.reason is not Reason.UNKNOWN_SHAPE:
            raise
        return False
    json.refuse_duplicates(text, "value")
    json.refuse_duplicates(key, "key")
    return told.id == named.id


def _check_length(text: bytes, payload: int, schema: bytes | None, place: str) -> None:
    expected = payload if schema is None else payload + len(schema) + _WRAPPING
    if expected != len(text):
        json.refuse_duplicates(text, place)


_WRAPPING = len(wrap(b"", b""))
