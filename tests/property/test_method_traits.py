"""What each method's class says of it holds, for each type that it takes, in each of the connector's representations.

The samples are in `tests.property.samples`; a method that is not there makes the first test fail.
"""

from __future__ import annotations

import base64
import json
import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from cdc_masker import methods
from cdc_masker.events import Fate, Outcome
from cdc_masker.kinds import Kind, kind_of
from cdc_masker.methods import (
    METHODS,
    Column,
    Compute,
    Context,
    Contextual,
    Keep,
    Method,
    Uniqueness,
    Unmaskable,
)
from cdc_masker.pipeline import Masker
from cdc_masker.policies import Policy, Rule
from cdc_masker.schemas import Type, to_connect
from tests.property.samples import KNOWN, SAMPLES, Sample, taken
from tests.unit.building import KEYS, change, described, envelope_schema, payload, record, rule
from tests.unit.columns import LABELS
from tests.unit.connect_json import misfits

CONSTANT = ("null", "redact", "fixed", "drop")
CASES = [(name, sample, taken(name, sample)) for name, samples in SAMPLES.items() for sample in samples]
Types = Mapping[str, Type]
every_case = pytest.mark.parametrize(
    ("name", "sample", "types"), CASES, ids=[f"{name}-{list(sample.params.values())}" for name, sample, _ in CASES]
)
many = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def stated(name: str, sample: Sample) -> Rule:
    made = rule("c", name, type=sample.stated, **sample.params)
    return msgspec.structs.replace(made, allow_small_domain=True, reason="a test")


def masker(name: str, sample: Sample) -> Masker:
    identity = json.dumps([name, sample.params])
    if identity not in _MASKERS:
        _MASKERS[identity] = Masker(Policy.of(1, rules=[stated(name, sample)]), KEYS, known=KNOWN)
    return _MASKERS[identity]


_MASKERS: dict[str, Masker] = {}


def event(value: Any, type_: Type | None) -> dict[str, Any]:
    """A row with that value and the number of its subject; described, if there is a type."""
    row = change(after={"c": value, "id": 7})
    return row if type_ is None else described(envelope_schema({"c": _schema(type_), "id": {"type": "int32"}}), row)


def _schema(type_: Type) -> dict[str, Any]:
    schema = to_connect(type_)
    if kind_of(type_) is Kind.ENUM:
        schema |= {"name": type_.name, "parameters": {"allowed": ",".join(LABELS)}}
    return schema


def built(name: str, sample: Sample) -> Method:
    return methods.build(stated(name, sample), KNOWN)


def applied(name: str, sample: Sample, type_: Type | None, values: Sequence[Any], offset: int = 1) -> list[tuple[Any, Any]]:
    """The values that a computing method takes, each with what becomes of it."""
    transform = built(name, sample).compile(Column(place="c", type=type_, domain="own"), KEYS)
    found = []
    for value in values:
        context = Context("t", 0, offset, place="after", row={"id": msgspec.Raw(b"7")})
        try:
            match transform:
                case Keep():
                    found.append((value, value))
                case Compute(function, _):
                    found.append((value, function(value)))
                case Contextual(aware, _):
                    found.append((value, aware(value, context)))
        except Unmaskable:
            continue
    return found


def test_every_method_has_samples() -> None:
    assert set(SAMPLES) == set(METHODS), "add parameters for the method to tests/property/samples.py"


@pytest.mark.parametrize("name", METHODS)
def test_a_method_takes_the_kinds_that_it_says_and_no_others(name: str) -> None:
    assert {kind_of(type_) for method, _, types in CASES if method == name for type_ in types.values()} == METHODS[name].kinds


@every_case
def test_some_values_of_each_type_are_masked(name: str, sample: Sample, types: Types) -> None:
    """Else the laws below would hold of nothing."""
    for type_ in types.values() if name not in CONSTANT else ():
        taken_one = partial(_takes, name, sample, type_)
        find(sample.values(type_), taken_one, settings=settings(phases=[Phase.generate], database=None, deadline=None))


def _takes(name: str, sample: Sample, type_: Type, value: Any) -> bool:
    return bool(applied(name, sample, type_, [value]))


@every_case
@many
@given(st.data())
def test_what_comes_out_fits_its_schema_and_is_the_same_on_a_replay(
    name: str, sample: Sample, types: Types, data: st.DataObject
) -> None:
    type_ = data.draw(st.sampled_from(list(types.values())))
    value = data.draw(sample.values(type_))
    outcome = masked(name, sample, value, type_)
    assert misfits(outcome.value) == []
    assert masked(name, sample, value, type_) == outcome
    assert ("c" in payload(outcome.value)["after"]) == (name != "drop")


def masked(name: str, sample: Sample, value: Any, type_: Type | None, offset: int = 1) -> Outcome:
    outcome = masker(name, sample).mask(record(event(value, type_), offset=offset))
    assert outcome.fate is Fate.MASKED
    return outcome


@every_case
@many
@given(st.data())
def test_equal_values_become_equal_ones_only_where_the_method_says_so(
    name: str, sample: Sample, types: Types, data: st.DataObject
) -> None:
    type_ = data.draw(st.sampled_from(list(types.values())))
    value = data.draw(sample.values(type_))
    found = {json.dumps(applied(name, sample, type_, [value], offset)) for offset in range(40)}
    if METHODS[name].deterministic:
        assert len(found) == 1
    elif found != {"[]"} and not (type_.base in ("float", "double") and abs(value) > 1e6):  # too coarse to be moved
        assert len(found) > 1


@every_case
@many
@given(st.data())
def test_lengths_and_differences_stay_where_the_method_says_so(
    name: str, sample: Sample, types: Types, data: st.DataObject
) -> None:
    type_ = data.draw(st.sampled_from(list(types.values())))
    values = data.draw(st.lists(sample.values(type_), min_size=2, max_size=8))
    found = applied(name, sample, type_, values)
    if METHODS[name].length_preserving:
        assert all(len(before) == len(after) for before, after in found if isinstance(before, str))
    if METHODS[name].uniqueness is Uniqueness.PRESERVED:
        meant = {_meaning(type_, before) for before, _ in found}
        assert len({json.dumps(after) for _, after in found}) >= len(meant)


def _meaning(type_: Type, value: Any) -> Any:
    """Equal for values that are one and the same, written in two ways."""
    match kind_of(type_):
        case Kind.FLOAT:
            return Decimal(repr(value)) + 0
        case Kind.DECIMAL:
            scale = value["scale"] if isinstance(value, dict) else 0
            digits = base64.b64decode(value["value"] if isinstance(value, dict) else value)
            return Decimal(int.from_bytes(digits, "big", signed=True)).scaleb(-scale).normalize()
        case Kind.UUID:
            return uuid.UUID(value)
        case _:
            return json.dumps(value)


@every_case
def test_null_stays_null_unless_a_constant_stands_there(name: str, sample: Sample, types: Types) -> None:
    for type_ in types.values():
        after = payload(masked(name, sample, None, type_.nullable()).value)["after"]
        assert after.get("c") == (sample.params["value"] if name == "fixed" else None)


@dataclass
class Recording:
    """Keys that note what is asked for."""

    asked: set[tuple[str, str, int]] = field(default_factory=set)

    def derive(self, method: str, domain: str, epoch: int) -> bytes:
        self.asked.add((method, domain, epoch))
        return KEYS.derive(method, domain, epoch)


@every_case
def test_the_same_keys_are_asked_for_whatever_the_type(name: str, sample: Sample, types: Types) -> None:
    """A bundle for workers is made of what the rules ask for without a type."""
    asked = []
    for type_ in (None, *types.values()):
        keys = Recording()
        built(name, sample).compile(Column(place="c", type=type_, domain="own"), keys)
        asked.append(keys.asked)
    assert all(each == asked[0] for each in asked)
    owner = "tokenize" if name == "scrub" else name
    assert {purpose.partition(".")[0] for purpose, _, _ in asked[0]} <= {owner}


CANARY = "canary~8c1f2e"  # no base64
UNFIT: list[Any] = [
    CANARY,
    {CANARY: CANARY},
    [CANARY],
    {"value": CANARY, "scale": 0},
    {"x": CANARY, "y": CANARY, "wkb": CANARY, "srid": None},
    {"year": CANARY, "month": 1, "day": 1, "specialValue": CANARY},
    7.7356093e300,
    7735609377356093,
    "NaN",
]


@every_case
def test_nothing_of_a_value_of_another_type_shows(name: str, sample: Sample, types: Types) -> None:
    for type_ in types.values():
        for value in UNFIT:
            if name != "keep" and not _may_show(name, type_, value):
                _look(name, sample, value, type_)
                _look(name, sample, value, None)


def _look(name: str, sample: Sample, value: Any, type_: Type | None) -> None:
    outcome = masked(name, sample, value, type_)
    written = (outcome.value or b"") + repr(outcome).encode()
    assert CANARY.encode() not in written, (type_, value)
    assert b"773560937" not in written, (type_, value)


def _may_show(name: str, type_: Type, value: Any) -> bool:
    """A text that a method shows as it is, for all that it knows; or a number that it only moves."""
    if isinstance(value, str):
        return name == "scrub" or (kind_of(type_) is Kind.TEXT and name in ("truncate", "partial"))
    return not isinstance(value, dict | list) and name in ("bucket", "round", "noise", "geo") and not math.isnan(value)
