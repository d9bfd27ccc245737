"""`tokenize`: what tokens look like, which of them are equal, and which never are."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_masker import methods
from cdc_masker.keys import Keyring, new_keyring
from cdc_masker.keys.keyring import RootKey
from cdc_masker.methods import Column, Compute, Keys, Unmaskable
from cdc_masker.schemas import Type
from tests.unit.building import KEYS, rule

TEXT = Type(base="string")
INT4, INT8 = Type(base="int32"), Type(base="int64")
UUID = Type(base="string", name="io.debezium.data.Uuid", version=1)
COMPOSED, DECOMPOSED = "Zoë", "Zoe\u0308"


def tokenizer(
    type_: Type | None = None, *, domain: str | None = None, own: str = "own", epoch: int = 1, keys: Keys = KEYS
) -> Any:
    params = {} if domain is None else {"domain": domain}
    column = Column(place="column c", type=type_, domain=own, epoch=epoch)
    transform = methods.build(rule("c", "tokenize", **params)).compile(column, keys)
    assert isinstance(transform, Compute)
    return transform.function


@pytest.mark.parametrize("type_", [None, TEXT])
@given(text=st.text())
def test_a_text_token_is_32_hex_digits(type_: Type | None, text: str) -> None:
    assert re.fullmatch(r"[0-9a-f]{32}", tokenizer(type_)(text))


@given(st.uuids())
def test_a_uuid_token_is_a_uuid_of_version_8(value: uuid.UUID) -> None:
    token = uuid.UUID(tokenizer(UUID)(str(value)))
    assert token.version == 8
    assert token.variant == uuid.RFC_4122
    assert token != value


def test_spellings_of_one_uuid_get_one_token() -> None:
    token = tokenizer(UUID)
    value = "93370f70-9f20-4a82-89ba-0f80e2dd4f58"
    assert token(value) == token(value.upper())
    assert token(value) != token(value.replace("9", "8"))


@pytest.mark.parametrize(("type_", "bits"), [(INT4, 32), (INT8, 64), (None, 64)])
def test_an_integer_token_stays_in_the_range_and_never_collides(type_: Type | None, bits: int) -> None:
    token = tokenizer(type_)
    half = 1 << (bits - 1)
    values = {*range(-500, 500), -half, -half + 1, half - 2, half - 1}
    tokens = {token(value) for value in values}
    assert len(tokens) == len(values)
    assert all(type(each) is int and -half <= each < half for each in tokens)
    assert len(tokens & values) < 5


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        (None, [1.5, True, None, ["a"], {"a": 1}, 2**63, -(2**63) - 1]),
        (TEXT, [1, 1.5, True, ["a"]]),
        (UUID, ["not a uuid", "", 5, True, ["a"]]),
        (INT4, ["1", 1.0, True, 2**31, -(2**31) - 1]),
        (INT8, ["1", False, 2**63]),
    ],
)
def test_values_of_another_kind_are_not_taken(type_: Type | None, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(Unmaskable):
            tokenizer(type_)(value)


def test_equal_values_have_equal_tokens_in_one_domain_whatever_the_column() -> None:
    one, other = tokenizer(TEXT, domain="email", own="a"), tokenizer(None, domain="email", own="b")
    assert one("a@example.com") == other("a@example.com")
    assert one("a@example.com") != one("b@example.com")


@pytest.mark.parametrize(("type_", "value"), [(TEXT, "ana"), (INT4, 7), (INT8, 7), (UUID, str(uuid.UUID(int=7)))])
def test_domains_columns_epochs_and_keys_are_separate(type_: Type, value: Any) -> None:
    older = RootKey(id="one", epoch=1, root=b"1" * 32)
    keys = Keyring.of([older, RootKey(id="two", epoch=2, root=b"2" * 32)])
    same_root = Keyring.of([older, RootKey(id="two", epoch=2, root=b"1" * 32)])
    tokens = [
        tokenizer(type_, domain="email", keys=keys)(value),
        tokenizer(type_, domain="Email", keys=keys)(value),
        tokenizer(type_, own="a", keys=keys)(value),
        tokenizer(type_, own="b", keys=keys)(value),
        tokenizer(type_, domain="email", epoch=2, keys=keys)(value),
        tokenizer(type_, domain="email", epoch=2, keys=same_root)(value),
        tokenizer(type_, domain="email", keys=new_keyring())(value),
    ]
    assert len(set(tokens)) == len(tokens)


def test_the_text_and_the_number_of_one_writing_are_told_apart() -> None:
    token = tokenizer(None, domain="d")
    assert str(token(1)) != token("1")
    assert token(1) != int(token("1"), 16)


def test_a_named_domain_joins_two_spellings_of_one_text() -> None:
    token = tokenizer(TEXT, domain="name")
    assert token(COMPOSED) == token(DECOMPOSED)
    assert token(COMPOSED) != token("Zoe")


def test_a_domain_of_its_own_keeps_distinct_texts_distinct() -> None:
    token = tokenizer(TEXT)
    assert token(COMPOSED) != token(DECOMPOSED)


def test_case_and_spaces_count() -> None:
    token = tokenizer(TEXT, domain="email")
    assert len({token(text) for text in ("a@b.c", "A@b.c", "a@b.c ", " a@b.c")}) == 4


@given(st.one_of(st.text(), st.integers(-(2**63), 2**63 - 1)))
def test_a_token_depends_on_nothing_but_value_and_key(value: str | int) -> None:
    assert tokenizer(None, domain="d")(value) == tokenizer(None, domain="d")(value)
