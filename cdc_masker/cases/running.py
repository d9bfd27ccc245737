"""Cases under a policy: each row becomes an event, which is masked as the worker does.

The keys are made from fixed texts, so that a test gives the same today and tomorrow; they are no secret, and so rows in tests
are made-up ones. Each row is masked three times: as it is, at another position, and under another key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from cdc_masker import envelope
from cdc_masker.cases.expectations import Case, Expectation, Observed, Part, problems
from cdc_masker.cases.values import decode, found
from cdc_masker.codecs import json
from cdc_masker.comparison import in_words
from cdc_masker.coverage import MadeUpSubjects
from cdc_masker.errors import Reason
from cdc_masker.events import Outcome, Record
from cdc_masker.keys import Keyring
from cdc_masker.keys.keyring import RootKey
from cdc_masker.lookup import Lookup, Table
from cdc_masker.methods import METHODS, Method, redaction
from cdc_masker.pipeline import Masker
from cdc_masker.policies import Policy
from cdc_masker.schemas import from_postgres

__all__ = ["Result", "run"]

_ELSEWHERE = 1 << 32


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one expectation, or of a whole case where `column` is None. No problem: it holds."""

    where: str
    case: str
    column: str | None
    problem: str | None


def run(policy: Policy, cases: Iterable[Case], known: Mapping[str, type[Method]] = METHODS) -> list[Result]:
    """The results of all expectations in the cases of one document, in order. Raises what `Masker` raises."""
    bench = _Bench(policy, known)
    rows = {case.name: bench.row(case, number) for number, case in enumerate(cases)}
    return [result for row in rows.values() for result in bench.results(row, rows)]


@dataclass(frozen=True, slots=True)
class _Row:
    """A case's row, before and masked in three ways; `refused` is the outcome where it was not masked."""

    case: Case
    masked: tuple[Mapping[str, bytes], ...] = ()
    refused: Outcome | None = None


class _Bench:
    def __init__(self, policy: Policy, known: Mapping[str, type[Method]]) -> None:
        self._lookup = Lookup(policy)
        one, other = (_keys(name, policy.key_epoch) for name in ("one", "another"))
        masker, rekeyed = (Masker(policy, keys, known=known) for keys in (one, other))
        subjects, other_subjects = (MadeUpSubjects(keys, policy.key_epoch) for keys in (one, other))
        self._ways = ((masker, subjects, 0), (masker, subjects, _ELSEWHERE), (rekeyed, other_subjects, 0))

    def results(self, row: _Row, rows: Mapping[str, _Row]) -> Iterator[Result]:
        if row.case.quarantined is not None or row.refused is not None:
            yield Result(where=row.case.where, case=row.case.name, column=None, problem=_refusal(row))
            return
        for expected in row.case.expect:
            problem = self._problem(expected, row, rows)
            yield Result(where=expected.where, case=row.case.name, column=expected.part.name, problem=problem)

    def row(self, case: Case, number: int) -> _Row:
        masked = []
        for masker, subjects, offset in self._ways:
            outcome = masker.mask(_record(case, offset + number), subjects)
            if outcome.value is None:
                return _Row(case, refused=outcome)
            masked.append(_image(outcome))
        return _Row(case, tuple(masked))

    def _problem(self, expected: Expectation, row: _Row, rows: Mapping[str, _Row]) -> str | None:
        others = {each: rows[each.case] for each in (expected.same_as, expected.unlike) if each is not None}
        for reference, other in others.items():
            if other.refused is not None:
                return f"can't be compared with {reference.case!r}, whose record is {other.refused.fate}"
        seen = self._seen(row, expected.part)
        told = problems(expected, seen, {each: self._seen(other, each.part) for each, other in others.items()})
        if not (said := "; ".join(told)):
            return None
        table = _table(row.case)
        decided = in_words(self._lookup.rules(table, expected.part.column), self._lookup.default(table))
        return f"{said}; the policy says: {decided}"

    def _seen(self, row: _Row, part: Part) -> Observed:
        def values(columns: Mapping[str, bytes]) -> list[Any]:
            return found(decode(columns[part.column]), part.path) if part.column in columns else []

        masked, elsewhere, rekeyed = map(values, row.masked)
        return Observed(values(row.case.row), masked, elsewhere, rekeyed, self._neutral(row.case, part))

    def _neutral(self, case: Case, part: Part) -> Any:
        """What `redact` puts there."""
        rules = self._lookup.rules(_table(case), part.column)
        stated = rules[0].type if rules and part.path is None else None
        value = redaction(None if stated is None else from_postgres(stated)).value
        return decode(msgspec.json.encode(value))


def _keys(name: str, epoch: int) -> Keyring:
    root = hashlib.sha256(f"cdc-masker: tests of policies, {name}".encode()).digest()
    return Keyring.of([RootKey(id=name, epoch=epoch, root=root)])


def _table(case: Case) -> Table:
    """No topic has that name, so no policy says of it what shape it has."""
    schema, name = case.table
    return Table(case.server, schema, name, f"policy test: {case.server}.{schema}.{name}")


def _record(case: Case, offset: int) -> Record:
    """An insert, as Debezium writes it without schemas."""
    table = _table(case)
    row = {name: msgspec.Raw(text) for name, text in case.row.items()}
    source = {"connector": "postgresql", "name": table.server, "schema": table.schema, "table": table.name}
    event = {"before": None, "after": row, "source": source, "op": "c"}
    key = msgspec.json.encode({name: row[name] for name in case.key}) if case.key else None
    return Record(table.topic, 0, offset, 0, key, msgspec.json.encode(event))


def _image(outcome: Outcome) -> dict[str, bytes]:
    """The masked columns."""
    event = envelope.read(Record(outcome.topic, 0, 0, 0, outcome.key, outcome.value))
    assert isinstance(event, envelope.Event)  # as it came from one
    (row,) = (bytes(image) for place, image in event.images() if place == "after")
    return {name: bytes(text) for name, text in json.members(row, Reason.BAD_ENVELOPE, "after").items()}


def _refusal(row: _Row) -> str | None:
    expected = row.case.quarantined
    if row.refused is None:
        return f"expected quarantined ({expected}), but the record is masked"
    if row.refused.reason is expected:
        return None
    told = f"{row.refused.fate}: {row.refused.reason} at {row.refused.place}"
    return f"expected quarantined ({expected}), but it is {told}" if expected else f"the record is {told}"
