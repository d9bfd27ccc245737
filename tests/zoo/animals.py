"""The animals: every type that Debezium's PostgreSQL connector knows, and some that it doesn't, as columns with values.

A value is made from a seed of 128 bits, so that a raw value that turns up anywhere is one that a test planted: as the seed in
hex in whatever holds text, as the seed's bytes in whatever holds bytes, and as a number or date that is improbable elsewhere.
"""

from __future__ import annotations

import hashlib
import ipaddress
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

__all__ = ["ANIMALS", "EXTENSIONS", "LABELS", "TYPES", "Animal", "quoted", "seed"]

EXTENSIONS = ("citext", "hstore", "ltree")


def quoted(text: str) -> str:
    """A text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def seed(*place: object) -> bytes:
    """128 bits that stand for one place of the zoo, and for no other."""
    return hashlib.sha256("|".join(map(str, place)).encode()).digest()[:16]


LABELS = tuple(seed("label", number).hex() for number in range(4))

# The types that have to be made first.
TYPES = (
    f"create type zoo.mood as enum ({', '.join(repr(label) for label in LABELS)})",
    'create type zoo."Mixed Mood" as enum (' + ", ".join(repr(label) for label in LABELS) + ")",
    "create domain zoo.line as text",
    "create domain zoo.short_line as zoo.line check (length(value) < 100)",
    "create domain zoo.amount as numeric(20,4)",
    "create domain zoo.counter as bigint",
    "create domain zoo.feeling as zoo.mood",
    "create type zoo.address as (street text, number bigint)",
    "create type zoo.text_range as range (subtype = text)",
)


@dataclass(frozen=True)
class Animal:
    """One column: its name, its type in SQL, and how a value is written.

    `keyed`: a primary key can hold it. `written`: the connector tells its value; of the others it writes null, another thing,
    or no column at all.
    """

    name: str
    type: str
    value: Callable[[bytes], str]
    keyed: bool = False
    written: bool = True

    def literal(self, seed: bytes) -> str:
        """The value as an expression of this type."""
        return f"{quoted(self.value(seed))}::{self.type}"


def _integer(bits: int) -> Callable[[bytes], str]:
    """An integer of that many bits, always of the greatest length."""
    half = 1 << (bits - 2)
    return lambda seed: str(half + int.from_bytes(seed) % half)


def _digits(count: int, scale: int) -> Callable[[bytes], str]:
    """A decimal with that many digits, some of them after the point."""

    def value(seed: bytes) -> str:
        digits = str(10 ** (count - 1) + int.from_bytes(seed * 2) % (9 * 10 ** (count - 1)))
        return f"{digits[: count - scale]}.{digits[count - scale :]}" if scale else digits

    return value


def _moment(form: str) -> Callable[[bytes], str]:
    """A point in time in the fourth to the eighth decade of the last century, to the microsecond."""
    start, span = datetime(1931, 1, 1, tzinfo=UTC), 50 * 365 * 86400 * 10**6
    return lambda seed: (start + timedelta(microseconds=int.from_bytes(seed) % span)).strftime(form)


def _text(form: str = "{}") -> Callable[[bytes], str]:
    return lambda seed: form.replace("{}", seed.hex())


def _points(form: str) -> Callable[[bytes], str]:
    """A geometry; each # is another coordinate."""

    def value(seed: bytes) -> str:
        text, count = form, 0
        while "#" in text:
            count += 1
            text = text.replace("#", _digits(12, 10)(hashlib.sha256(seed + bytes([count])).digest()[:16]), 1)
        return text

    return value


def _pair(low: Callable[[bytes], str], high: str) -> Callable[[bytes], str]:
    return lambda seed: f"[{low(seed)},{high})"


def _array(item: Callable[[bytes], str]) -> Callable[[bytes], str]:
    """Two items, the second one null."""
    return lambda seed: '{"' + item(seed).replace("\\", "\\\\").replace('"', '\\"') + '",NULL}'


def _uuid(seed: bytes) -> str:
    return str(uuid.UUID(bytes=seed))


def _ip(seed: bytes) -> str:
    return str(ipaddress.IPv6Address(seed))


def _mac(length: int) -> Callable[[bytes], str]:
    return lambda seed: seed[:length].hex(":")


def _bits(seed: bytes) -> str:
    return f"{int.from_bytes(seed):0128b}"


def _bytea(seed: bytes) -> str:
    return "\\x" + seed.hex()


def _label(seed: bytes) -> str:
    return LABELS[seed[0] % len(LABELS)]


def _interval(seed: bytes) -> str:
    return f"{1 + seed[0]} years {seed[1] % 12} months {1000 + seed[2]} days {1 + seed[3] % 22}:{seed[4] % 60}:07.{seed[5]:06d}"


_DATE, _TIME = "%Y-%m-%d", "%H:%M:%S.%f"
_BOTH = f"{_DATE} {_TIME}"
_JSON = '{"{}": {"deep": ["x", "{}", 12345678901234567890, 1.10]}, "e\\u00e9": "{}"}'

_SCALARS = (
    Animal("text", "text", _text(), keyed=True),
    Animal("varchar", "varchar(80)", _text("é'\"\\ {}"), keyed=True),
    Animal("bpchar", "char(40)", _text(), keyed=True),
    Animal("single_char", '"char"', lambda seed: seed.hex()[0]),
    Animal("name", "name", _text()),
    Animal("citext", "citext", _text("A{}"), keyed=True),
    Animal("bytea", "bytea", _bytea, keyed=True),
    Animal("uuid", "uuid", _uuid, keyed=True),
    Animal("json", "json", _text(_JSON)),
    Animal("jsonb", "jsonb", _text(_JSON)),
    Animal("xml", "xml", _text('<a b="{}">{}</a>')),
    Animal("hstore", "hstore", _text('"{}"=>"{}", "empty"=>NULL')),
    Animal("ltree", "ltree", _text("top.{}")),
    Animal("tsvector", "tsvector", _text("{}:1")),
    Animal("inet", "inet", _ip, keyed=True),
    Animal("cidr", "cidr", lambda seed: _ip(seed) + "/128"),
    Animal("macaddr", "macaddr", _mac(6)),
    Animal("macaddr8", "macaddr8", _mac(8)),
    Animal("smallint", "smallint", _integer(16), keyed=True),
    Animal("integer", "integer", _integer(32), keyed=True),
    Animal("bigint", "bigint", _integer(64), keyed=True),
    Animal("oid", "oid", _integer(32)),
    Animal("real", "real", _digits(6, 3)),
    Animal("double", "double precision", _digits(15, 9)),
    Animal("numeric", "numeric", _digits(30, 12), keyed=True),
    Animal("numeric_scaled", "numeric(30,6)", _digits(30, 6), keyed=True),
    Animal("numeric_whole", "numeric(25)", _digits(25, 0)),
    Animal("money", "money", _digits(16, 2)),
    Animal("boolean", "boolean", lambda seed: str(seed[0] % 2 == 0).lower(), keyed=True),
    Animal("bit_one", "bit(1)", lambda seed: str(seed[0] % 2)),
    Animal("bits", "bit(128)", _bits),
    Animal("varbit", "varbit(200)", _bits),
    Animal("varbit_any", "varbit", _bits),
    Animal("date", "date", _moment(_DATE), keyed=True),
    Animal("time", "time", _moment(_TIME), keyed=True),
    Animal("time_millis", "time(3)", _moment(_TIME)),
    Animal("timetz", "timetz", _moment(f"{_TIME}+03"), keyed=True),
    Animal("timestamp", "timestamp", _moment(_BOTH), keyed=True),
    Animal("timestamp_millis", "timestamp(3)", _moment(_BOTH)),
    Animal("timestamptz", "timestamptz", _moment(f"{_BOTH}+02"), keyed=True),
    Animal("interval", "interval", _interval),
    Animal("point", "point", _points("(#,#)")),
    Animal("line", "line", _points("{#,#,#}")),
    Animal("lseg", "lseg", _points("[(#,#),(#,#)]")),
    Animal("box", "box", _points("(#,#),(#,#)")),
    Animal("path", "path", _points("[(#,#),(#,#)]")),
    Animal("polygon", "polygon", _points("((#,#),(#,#),(#,#))")),
    Animal("circle", "circle", _points("<(#,#),#>")),
    Animal("int4range", "int4range", _pair(_integer(32), "2147483000")),
    Animal("int8range", "int8range", _pair(_integer(64), "9223372036854775000")),
    Animal("numrange", "numrange", _pair(_digits(20, 5), "1e30")),
    Animal("tsrange", "tsrange", _pair(_moment(_BOTH), "2100-01-01")),
    Animal("tstzrange", "tstzrange", _pair(_moment(f"{_BOTH}+02"), "2100-01-01")),
    Animal("daterange", "daterange", _pair(_moment(_DATE), "2100-01-01")),
    Animal("text_range", "zoo.text_range", lambda seed: f"[{seed.hex()},z)"),
    Animal("enum", "zoo.mood", _label, keyed=True),
    Animal("enum_quoted", 'zoo."Mixed Mood"', _label),
    Animal("domain", "zoo.line", _text()),
    Animal("domain_of_domain", "zoo.short_line", _text(), keyed=True),
    Animal("domain_numeric", "zoo.amount", _digits(20, 4)),
    Animal("domain_bigint", "zoo.counter", _integer(64)),
    Animal("domain_enum", "zoo.feeling", _label),
    Animal("composite", "zoo.address", lambda seed: f"({seed.hex()},{_integer(64)(seed)})"),
    Animal("multirange", "int8multirange", lambda seed: "{" + _pair(_integer(64), "9223372036854775000")(seed) + "}"),
    Animal("tsquery", "tsquery", _text("{} & x")),
    Animal("jsonpath", "jsonpath", _text('$."{}"')),
    Animal("pg_lsn", "pg_lsn", lambda seed: f"{seed[:4].hex()}/{seed[4:8].hex()}".upper()),
)

_ITEMS = (
    "text", "varchar", "bpchar", "citext", "bytea", "uuid", "json", "jsonb", "hstore", "ltree", "inet", "cidr", "macaddr",
    "smallint", "integer", "bigint", "oid", "real", "double", "numeric", "numeric_scaled", "money", "boolean", "date", "time",
    "timetz", "timestamp", "timestamptz", "interval", "int4range", "int8range", "numrange", "tsrange", "tstzrange",
    "daterange", "enum", "domain", "xml", "point", "bits", "composite",
)  # fmt: skip
_UNWRITTEN = {"ltree", "money", "interval", "enum", "domain", "xml", "point", "bits", "composite"}
_BY_NAME = {animal.name: animal for animal in _SCALARS}

ANIMALS = (
    *_SCALARS,
    *(
        Animal(f"{name}_array", f"{_BY_NAME[name].type}[]", _array(_BY_NAME[name].value), written=name not in _UNWRITTEN)
        for name in _ITEMS
    ),
    Animal("text_matrix", "text[]", lambda seed: f"{{{{{seed.hex()},b}},{{c,d}}}}", written=False),
)
