"""What the core's cost depends on: columns, bytes, schemas, paths and rules. In memory, so that nothing else takes part.

The cases of a table take turns; time of the processor counts, and of each case the fastest round, because being disturbed only
makes slower.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
from msgspec import structs

from benchmarks.events import FIRST_MS, event
from benchmarks.policy import CUSTOMERS, masked, masker
from cdc_masker.codecs.capture import decode_line
from cdc_masker.events import Record
from cdc_masker.pipeline import Masker

__all__ = ["TABLES"]

Work = tuple[Masker, list[Record]]
Table = Iterator[str]

_EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
_SECONDS = 0.05  # of a round of a case, about
_ROUNDS = 9
_TOPIC = "shop.crm.customers"


def costs(cases: Mapping[str, Work], rounds: int = _ROUNDS) -> dict[str, float]:
    """Microseconds for an event of each case."""
    repeats = {}
    for name, work in cases.items():
        _seconds(work, 1)  # it compiles the plan, too
        repeats[name] = max(1, int(_SECONDS / max(_seconds(work, 1), 1e-6)))
    best = dict.fromkeys(cases, float("inf"))
    for _ in range(rounds):
        for name, work in cases.items():
            spent = _seconds(work, repeats[name]) / repeats[name]
            best[name] = min(best[name], spent / len(work[1]) * 1e6)
    return best


def _seconds(work: Work, repeats: int) -> float:
    masker, records = work
    started = time.process_time()
    for _ in range(repeats):
        batch = masker.mask_batch(records)
    assert not batch.notes and not batch.misfits, "an event was not masked"
    return time.process_time() - started


def _records(change: Callable[[dict[str, Any]], object], count: int = 16) -> list[Record]:
    """Events of customers whose row was changed."""
    made = []
    for number in range(count):
        key, value = event(number)
        parsed = orjson.loads(value)
        change(parsed["after"])
        made.append(Record(_TOPIC, 0, number, FIRST_MS + number, key, orjson.dumps(parsed)))
    return made


def _size(records: list[Record]) -> int:
    return sum(len(record.value or b"") for record in records) // len(records)


def columns() -> Table:
    """Rows of many columns, all of them masked."""
    cases: dict[str, Work] = {}
    for count in (5, 20, 200):
        names = [f"c{number}" for number in range(count)]
        for method, params in (("tokenize", {"domain": "email"}), ("fixed", {"value": "***"})):
            rules = [masked(name, "text", method, **params) for name in names]

            def fill(row: dict[str, Any], names: list[str] = names) -> None:
                row.clear()
                row.update({"id": 1, **{name: f"value of {name}" for name in names}})

            rules.append(CUSTOMERS["rules"][5])
            cases[f"{count} | {method}"] = masker({**CUSTOMERS, "rules": rules}), _records(fill)
    yield from _heading("masked columns", "method", "bytes", "µs an event", "µs a column")
    for name, spent in costs(cases).items():
        count = int(name.split()[0])
        yield f"| {name} | {_size(cases[name][1]):,} | {spent:.1f} | {spent / count:.2f} |"


def sizes() -> Table:
    """Events of 1 KB to 1 MB, by a text that is kept."""
    cases: dict[str, Work] = {}
    for size in (1_000, 10_000, 100_000, 1_000_000):

        def fill(row: dict[str, Any], size: int = size) -> None:
            row["notes"] = "x" * (size - 800)

        cases[f"{size:,}"] = masker(CUSTOMERS), _records(fill)
    yield from _heading("bytes", "µs an event", "ns a byte")
    for name, spent in costs(cases).items():
        yield f"| {_size(cases[name][1]):,} | {spent:.1f} | {spent * 1000 / _size(cases[name][1]):.2f} |"


def schemas() -> Table:
    """The same changes with and without the schema in each record."""
    document = orjson.loads((_EXAMPLES / "shop-policy.json").read_bytes())
    cases: dict[str, Work] = {}
    for name in ("shop.jsonl", "shop-schemas.jsonl"):
        with (_EXAMPLES / name).open("rb") as lines:
            rows = [record for record in map(decode_line, lines) if record.topic == _TOPIC and record.value]
        cases[name] = masker(document), [structs.replace(record, offset=offset) for offset, record in enumerate(rows)]
    spent = costs(cases)
    plain = spent["shop.jsonl"]
    yield from _heading("events", "bytes", "µs an event", "payload a second, times the plain one")
    for name, each in spent.items():
        yield f"| {name} | {_size(cases[name][1]):,} | {each:.1f} | {plain / each:.2f} |"


def paths() -> Table:
    """A `jsonb` column of which parts are masked by path."""
    cases: dict[str, Work] = {}
    for entries in (1, 10, 100):
        text = orjson.dumps(
            {"contact": [{"email": f"a{number}@mail.example", "city": "Oslo"} for number in range(entries)], "n": 1}
        ).decode()

        def fill(row: dict[str, Any], text: str = text) -> None:
            row["profile"] = text

        ways: dict[str, list[dict[str, Any]]] = {
            "redacted whole": [masked("profile", "jsonb", "redact")],
            "two paths": [
                {**masked("profile", "jsonb", "tokenize", domain="email"), "path": "$.contact[*].email"},
                {**masked("profile", "jsonb", "redact"), "method": "keep", "path": "$.contact[*].city", "reason": "a city"},
            ],
        }
        for way, rules in ways.items():
            records = _records(fill)
            cases[f"{len(text):,} | {way}"] = masker({**CUSTOMERS, "rules": [*CUSTOMERS["rules"], *rules]}), records
    yield from _heading("bytes of JSON", "rules", "µs an event")
    for name, spent in costs(cases).items():
        yield f"| {name} | {spent:.1f} |"


def rules() -> Table:
    """A policy of 100,000 rules, of which few concern the table, beside one that has only these."""
    own = CUSTOMERS["rules"]
    others = [
        {**masked(f"c{column}", "text", "fixed", value="***"), "table": f"table{table}"}
        for table in range(10_000)
        for column in range(10)
    ]
    records = _records(lambda row: None)
    small, large = masker(CUSTOMERS), {**CUSTOMERS, "rules": [*own, *others][:100_000]}
    started = time.process_time()
    big = masker(large)
    took = time.process_time() - started
    spent = costs({f"{len(own)}": (small, records), "100,000": (big, records)}, rounds=5 * _ROUNDS)
    yield from _heading("rules", "µs an event", "more")
    first = next(iter(spent.values()))
    for name, each in spent.items():
        yield f"| {name} | {each:.2f} | {each / first - 1:+.1%} |"
    yield f"\nReading and compiling the large one took {took:.1f} s of the processor."


def _heading(*names: str) -> Table:
    yield f"| {' | '.join(names)} |"
    yield f"|{' --- |' * len(names)}"


TABLES = {"columns": columns, "bytes": sizes, "schemas": schemas, "paths": paths, "rules": rules}
