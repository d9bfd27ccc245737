"""Each masking method in memory: microseconds for one value, and bytes that it keeps.

A value goes in and comes out as JSON text, as in a row: the time of decoding and encoding is part of it, and stands alone in
the line `(JSON only)`; that of the row around it, which `drop` shows, is not. Values are distinct, so that no cache helps. The
bytes are those still allocated after masking 1,000 of them. Rounds of all methods are interleaved; the median counts.
"""

from __future__ import annotations

import statistics
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import orjson

from cdc_masker.codecs.json import Members
from cdc_masker.engine import Engine
from cdc_masker.keys import new_keyring
from cdc_masker.lookup import Table
from cdc_masker.methods import METHODS, Context
from cdc_masker.policies import Domain, Policy, Rule
from cdc_masker.schemas import from_postgres

__all__ = ["CASES", "NEEDS_MORE", "main", "masking"]

_ROUNDS = 5
_VALUES = 1000
_COLUMN = "value"


class Case(NamedTuple):
    """A method with its parameters, the PostgreSQL type of a column, and its n-th value."""

    params: dict[str, Any]
    type: str
    value: Callable[[int], Any]


def _text(number: int) -> str:
    return f"a value of usual length, number {number}"


def _name(number: int) -> str:
    return f"Ana Maria {number}"


def _days(number: int) -> int:
    return 8000 + number


CASES: dict[str, Case] = {
    "keep": Case({}, "text", _text),
    "null": Case({}, "text", _text),
    "redact": Case({}, "text", _text),
    "fixed": Case({"value": "[removed]"}, "text", _text),
    "drop": Case({}, "text", _text),
    "truncate": Case({"length": 3}, "text", _text),
    "partial": Case({"first": 2, "last": 2}, "text", _text),
    "email": Case({}, "text", lambda number: f"ana.{number}@example.com"),
    "ip": Case({}, "text", lambda number: f"192.168.{number // 256}.{number % 256}"),
    "url": Case({}, "text", lambda number: f"https://www.example.com/people/{number}?token=x#y"),
    "card": Case({}, "text", lambda number: f"4111-1111-{number:04}-1111"),
    "phone": Case({}, "text", lambda number: f"+49 30 {1234567 + number}"),
    "tokenize": Case({}, "text", _text),
    "encrypt": Case({}, "text", _text),
    "fpe": Case({"alphabet": "digits"}, "text", lambda number: f"{number:09}"),
    "pseudonym": Case({"kind": "name"}, "text", _name),
    "random": Case({}, "text", _text),
    "noise": Case({"distribution": "laplace", "bound": 100, "scale": 10}, "integer", _days),
    "bucket": Case({"size": 10}, "integer", _days),
    "round": Case({"digits": -2}, "integer", _days),
    "age": Case({}, "integer", lambda number: number % 110),
    "year": Case({}, "date", _days),
    "month": Case({}, "date", _days),
    "date": Case({}, "timestamp", lambda number: 1_700_000_000_000_000 + number * 1_000_003),
    "date_shift": Case({"subject": "id", "domain": "person"}, "date", _days),
    "postcode": Case({"country": "US"}, "text", lambda number: f"{10000 + number}"),
    "geo": Case({"degrees": 0.1}, "double precision", lambda number: 52.5 + number / 1000),
}
NEEDS_MORE = {"scrub": "detectors, of which there are none yet"}

_DOMAINS = [Domain(name="person", per_subject=True)]


class _Subjects:
    def key(self, domain: str, subject: str, topic: str, partition: int, offset: int) -> bytes:
        return bytes(32)


def masking(name: str, case: Case) -> Callable[[], Counter[str]]:
    """Masks all values of a case once, with functions that were compiled before, and counts what could not be masked."""
    rule = Rule(schema="s", table="t", column=_COLUMN, type=case.type, method=name, params=case.params)
    engine = Engine(Policy.of(1, rules=[rule], domains=_DOMAINS), new_keyring())
    layout = ((_COLUMN, from_postgres(case.type)), ("id", None))
    plan = engine.compile(Table("shop", "s", "t", "shop.s.t"), layout, frozenset())
    rows = [_row(case.value(number), number) for number in range(_VALUES)]

    def mask() -> Counter[str]:
        misfits: Counter[str] = Counter()
        for number, row in enumerate(rows):
            context = Context("shop.s.t", 0, number, _Subjects())
            plan.apply(row, "after", context)
            if context.misfits:
                misfits.update(reason for _, reason in context.misfits)
        return misfits

    return mask


def _row(value: Any, number: int) -> Members:
    return {_COLUMN: msgspec.Raw(orjson.dumps(value)), "id": msgspec.Raw(orjson.dumps(number))}


def _json_only() -> None:
    for number in range(_VALUES):
        orjson.dumps(orjson.loads(orjson.dumps(_text(number))))


def main() -> None:
    """Prints one line for each method."""
    work = {name: masking(name, case) for name, case in CASES.items()}
    base = work["drop"]
    rounds: dict[str, list[float]] = {name: [] for name in [*work, "(JSON only)"]}
    for _ in range(_ROUNDS):
        for name, mask in [*work.items(), ("(JSON only)", _json_only)]:
            started = time.perf_counter()
            mask()
            rounds[name].append((time.perf_counter() - started) / _VALUES * 1e6)
    row = statistics.median(rounds["drop"])
    print(f"{'method':<12} {'µs a value':>11} {'kept bytes':>11}   column")
    for name in METHODS:
        if name in NEEDS_MORE:
            print(f"{name:<12} {'':>11} {'':>11}   needs {NEEDS_MORE[name]}")
            continue
        took = statistics.median(rounds[name]) - (0 if work[name] is base else row)
        print(f"{name:<12} {max(took, 0):>11.2f} {_kept(name):>11,}   {CASES[name].type}")
    print(f"{'(JSON only)':<12} {statistics.median(rounds['(JSON only)']):>11.2f}")


def _kept(name: str) -> int:
    tracemalloc.start()
    mask = masking(name, CASES[name])
    before = tracemalloc.get_traced_memory()[0]
    mask()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return max(after - before, 0)


if __name__ == "__main__":
    main()
