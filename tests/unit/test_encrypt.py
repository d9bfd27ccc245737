"""`encrypt`: what it gives for which value, and that it gives nothing else away."""

from __future__ import annotations

import base64
import re
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from hypothesis import given
from hypothesis import strategies as st

from cdc_masker import methods
from cdc_masker.engine import check
from cdc_masker.errors import PolicyError
from cdc_masker.keys import Keyring
from cdc_masker.keys.keyring import RootKey
from cdc_masker.methods import Column, Compute, Keys, Unmaskable
from cdc_masker.policies import Domain, Policy
from cdc_masker.schemas import Type, from_postgres
from tests.unit.building import KEYS, change, compact, described, envelope_schema, masker, payload, record, rule
from tests.unit.connect_json import misfits

SCALARS = st.one_of(st.text(), st.integers(-(2**63), 2**63 - 1), st.floats(-1e15, 1e15))


def compiled(type_: str | None = None, own: str = "own", epoch: int = 1, keys: Keys = KEYS, **params: Any) -> Compute:
    of_type = None if type_ is None else from_postgres(type_)
    column = Column(place="c", type=of_type, domain=own, epoch=epoch)
    made = methods.build(rule("c", "encrypt", **params)).compile(column, keys)
    assert isinstance(made, Compute)
    return made


def encrypted(value: Any, type_: str | None = None, **how: Any) -> str:
    masked = compiled(type_, **how).function(value)
    assert isinstance(masked, str)
    return masked


@given(SCALARS)
def test_it_is_base64_of_the_iv_and_the_values_json_text_encrypted(value: Any) -> None:
    masked = encrypted(value)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", masked)
    sealed = base64.urlsafe_b64decode(masked + "=" * (-len(masked) % 4))
    assert len(sealed) == 16 + len(orjson.dumps(value))
    key = KEYS.derive("encrypt.mac", "own", 1) + KEYS.derive("encrypt.ctr", "own", 1)
    assert orjson.loads(AESSIV(key).decrypt(sealed, [b"own", b"1"])) == value


@given(st.lists(SCALARS, unique_by=lambda value: (type(value), value)))
def test_distinct_values_stay_distinct_whatever_their_type(values: list[Any]) -> None:
    assert len({encrypted(value) for value in values}) == len({orjson.dumps(value) for value in values})


def test_a_number_and_the_text_that_writes_it_are_told_apart() -> None:
    assert encrypted(5) != encrypted("5")
    assert encrypted(5, "int", domain="d") == encrypted(5, "bigint", domain="d")


def test_domains_columns_and_epochs_are_separate() -> None:
    ring = Keyring.of([RootKey(id=str(epoch), epoch=epoch, root=b"1" * 32) for epoch in (1, 2)])
    made = {
        compiled(own=own, epoch=epoch, keys=ring, **params).function("ana")
        for own, epoch, params in [
            ("a", 1, {}),
            ("b", 1, {}),
            ("a", 2, {}),
            ("a", 1, {"domain": "d"}),
            ("a", 1, {"domain": "e"}),
            ("a", 2, {"domain": "d"}),
        ]
    }
    assert len(made) == 6


@pytest.mark.parametrize("value", [["a"], {"a": 1}, True, 2.0**53, -1e300])
def test_what_describes_itself_and_may_have_been_misread_is_not_taken(value: Any) -> None:
    with pytest.raises(Unmaskable):
        encrypted(value)


@pytest.mark.parametrize("number", ["12345678901234567890123", "12345678901234567890124"])
def test_what_is_no_integer_of_64_bits_is_not_taken_for_one(number: str) -> None:
    """Both are the same double."""
    stated = masker(rule("c", "encrypt", type="bigint"))
    outcome = stated.mask(record(compact(change(after={"c": "number"})).replace('"number"', number)))
    assert payload(outcome.value)["after"] == {"c": ""}


def test_texts_are_taken_as_they_stand() -> None:
    assert len({encrypted(text, domain="d") for text in ("Zo\u00eb", "Zoe\u0308", "zo\u00eb", "zo\u00eb ")}) == 4


def test_a_domain_that_folds_case_is_refused() -> None:
    with pytest.raises(PolicyError, match=r"rule crm\.people\.c: encrypt keeps values as they are; domain 'd' folds case"):
        check(Policy.of(1, rules=[rule("c", "encrypt", domain="d")], domains=[Domain(name="d", fold_case=True)]))


_COLUMNS: dict[str, tuple[dict[str, Any], Any]] = {
    "name": ({"type": "string"}, "Zoë 🙂 \u202eabc"),
    "born": ({"type": "int32", "name": "io.debezium.time.Date", "version": 1}, -719528),
    "ref": ({"type": "string", "name": "io.debezium.data.Uuid", "version": 1}, "93370f70-9f20-4a82-89ba-0f80e2dd4f58"),
    "doc": ({"type": "string", "name": "io.debezium.data.Json", "version": 1}, '{"a":1}'),
    "salary": ({"type": "bytes", "name": "org.apache.kafka.connect.data.Decimal", "parameters": {"scale": "2"}}, "AfQ="),
    "score": ({"type": "double", "optional": True}, 12.5),
    "amount": (
        {
            "type": "struct",
            "name": "io.debezium.data.VariableScaleDecimal",
            "fields": [
                {"type": "int32", "optional": False, "field": "scale"},
                {"type": "bytes", "optional": False, "field": "value"},
            ],
        },
        {"scale": 1, "value": "AfQ="},
    ),
    "tags": ({"type": "array", "items": {"type": "string", "optional": True}}, ["a", None]),
    "none": ({"type": "string", "optional": True}, None),
}


@pytest.mark.parametrize("with_schema", [True, False])
def test_each_representation_becomes_a_text_and_the_schema_says_so(with_schema: bool) -> None:
    columns = {name: schema for name, (schema, _) in _COLUMNS.items()}
    row = {name: value for name, (_, value) in _COLUMNS.items() if with_schema or not isinstance(value, dict | list)}
    event = change(after=row)
    value = described(envelope_schema(columns), event) if with_schema else event
    outcome = masker(*(rule(name, "encrypt") for name in row)).mask(record(value))
    if with_schema:
        assert misfits(outcome.value) == []
    after = payload(outcome.value)["after"]
    assert after.pop("none") is None
    assert all(isinstance(each, str) for each in after.values())
    text = compact(after)
    assert not [value for value in ("Zo", "93370f70", "719528", "AfQ") if value in text]


def test_the_type_of_the_output_is_a_text_as_optional_as_the_column() -> None:
    made = compiled("bigint")
    assert made.type == Type(base="string")
