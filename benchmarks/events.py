"""Change events for benchmarks: inserts of customers as Debezium writes them, the same bytes for the same number.

What always holds: an event is a function of its number; its value has `BYTES` bytes; each raw value of its masked columns is
its own, so that no cache makes masking cheaper than it is, and stands nowhere else in the event.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BYTES", "FIRST_MS", "MASKED", "Customer", "event", "number_of"]

BYTES = 952
FIRST_MS = 1_795_242_000_000
"""Kafka's timestamp of event 0; each following one has a millisecond more."""

MASKED = ("email", "full_name", "phone", "ssn", "card_number")
"""Its personal columns."""

_SEED = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1
_FIRST = b"Ada Boris Chidi Dana Emre Farah Goran Hana Ivan Jana Kofi Lena Mira Nils Olga Pia".split()
_LAST = b"Abel Brandt Castro Dimas Engel Falk Gruber Hansen Iqbal Jensen Kaya Lopez Moreau Novak".split()
_TIERS = (b"free", b"pro", b"enterprise")

_VALUE = (
    b'{"before":null,"after":{"id":%d,"email":"%s","full_name":"%s","phone":"%s","ssn":"%s","card_number":"%s",'
    b'"balance":"DTrJ","tier":"%s","created_at":"2026-11-21T06:21:11.496231Z","updated_at":%d,'
    b'"ref":"%08x-9f20-4a82-89ba-%012x","notes":"","active":true,"score":%d.25},"source":{"version":"3.7.0.Final",'
    b'"connector":"postgresql","name":"shop","ts_ms":1795242088616,"snapshot":"false","db":"shop",'
    b'"sequence":"[\\"46767384\\",\\"46767400\\"]","ts_us":1795242088616161,"ts_ns":1795242088616161000,"schema":"crm",'
    b'"table":"customers","txId":912,"lsn":46767384,"xmin":null,"origin":null,"origin_lsn":null},"transaction":null,"op":"c",'
    b'"ts_ms":%d,"ts_us":%d677,"ts_ns":%d677714}'
)
_NOTES = b"called about the order, will be back; "


@dataclass(frozen=True, slots=True)
class Customer:
    """What is personal in one event, as raw values of the columns in `MASKED`."""

    email: bytes
    full_name: bytes
    phone: bytes
    ssn: bytes
    card_number: bytes

    @classmethod
    def of(cls, number: int) -> Customer:
        drawn = _draw(number)
        first, last = _FIRST[drawn & 15], _LAST[(drawn >> 4) % len(_LAST)]
        return cls(
            b"%s.%s%d@mail.example" % (first.lower(), last.lower(), number),
            b"%s %s %d" % (first, last, number),
            b"+1-202-%09d" % number,
            b"%03d-%02d-%04d" % (900 - number // 1_000_000, number // 10_000 % 100, number % 10_000),
            b"4%06d%09d" % ((drawn >> 8) % 1_000_000, number),
        )

    @property
    def values(self) -> tuple[bytes, ...]:
        return self.email, self.full_name, self.phone, self.ssn, self.card_number


def event(number: int, ms: int | None = None) -> tuple[bytes, bytes]:
    """Key and value of the event with this number; `ms` is Debezium's `ts_ms` (default: as Kafka's timestamp)."""
    drawn, at = _draw(number), FIRST_MS + number if ms is None else ms
    tier, ref = _TIERS[drawn % 3], (drawn >> 32, drawn & 0xFFFF_FFFF_FFFF)
    value = _VALUE % (number, *Customer.of(number).values, tier, at - 5, *ref, drawn % 100, at, at, at)
    notes = (_NOTES * 10)[: BYTES - len(value)]
    return b'{"id":%d}' % number, value.replace(b'"notes":""', b'"notes":"%s"' % notes, 1)


def number_of(key: bytes) -> int:
    """The number of the event with this key, which masking keeps. Raises `ValueError` for another key."""
    if not key.startswith(b'{"id":'):
        raise ValueError("the key is none of the generator's")
    return int(key[6:-1])


def _draw(number: int) -> int:
    """64 bits that look random (SplitMix64)."""
    z = (number + 1) * _SEED & _MASK
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & _MASK
    return z ^ z >> 31
