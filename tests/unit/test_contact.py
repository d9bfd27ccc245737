"""The laws of `email` and `phone`: the site or the country stays, and who it is does not."""

from __future__ import annotations

import contextlib
import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_masker import methods
from cdc_masker.methods import Column, Contextual, Misfit, Unmaskable
from cdc_masker.methods.contact import Email
from cdc_masker.methods.phone import Phone
from cdc_masker.policies import Domain
from tests.unit.building import KEYS, TOPIC, change, described, envelope_schema, masker, payload, record, rule
from tests.unit.connect_json import misfits
from tests.unit.partially import TEXT, masking, problem, refusal

_LOCALS = st.from_regex(r"[a-z0-9!#$%&'*+/=?^_`{|}~é李-]{1,20}(\.[A-Za-z0-9é]{1,8}){0,2}", fullmatch=True)
_SITES = st.from_regex(r"([a-zA-Z0-9]([a-z0-9-]{0,10}[a-z0-9])?\.){1,3}[a-z]{2,6}", fullmatch=True)
ADDRESSES = st.builds("{}@{}".format, _LOCALS, _SITES)


@given(ADDRESSES)
def test_a_token_stands_before_the_site(address: str) -> None:
    token, _, site = masking("email", TEXT)(address).partition("@")
    assert len(token) == 32
    assert set(token) <= set("0123456789abcdef")
    assert site == address.rpartition("@")[2].lower()


@given(ADDRESSES)
def test_of_the_site_the_top_level_alone_can_stay_where_no_mail_goes(address: str) -> None:
    token, _, site = masking("email", keep="tld")(address).partition("@")
    assert token == masking("email")(address).partition("@")[0]
    assert site == address.rpartition(".")[2] + ".invalid"


@given(ADDRESSES, ADDRESSES)
def test_distinct_addresses_stay_distinct_and_equal_ones_equal(one: str, other: str) -> None:
    for keep in ("domain", "tld"):
        for domain in (None, "people"):
            mask = masking("email", keep=keep, domain=domain)
            assert (mask(one) == mask(other)) == (one == other)


@given(_LOCALS, _SITES, _SITES)
def test_the_same_name_at_two_sites_has_two_tokens(local: str, one: str, other: str) -> None:
    mask = masking("email", domain="people")
    tokens = [mask(f"{local}@{site}").partition("@")[0] for site in (one, other)]
    assert (tokens[0] == tokens[1]) == (one == other)


def test_the_token_is_what_its_description_says() -> None:
    key = KEYS.derive("email", "people", 1)
    digest = hmac.digest(key, b"\x00\x00\x00\x06people" + b"anna@example.com", "sha256")
    assert masking("email", domain="people")("anna@example.com") == f"{digest.hex()[:32]}@example.com"


def test_columns_join_in_a_domain_that_both_name_and_nowhere_else() -> None:
    address = "anna@example.com"
    masked = {masking("email", TEXT, domain=domain)(address) for domain in (None, "people", "b")}
    assert len(masked) == 3
    column = Column(place="other", type=TEXT, domain="other's own")
    other = methods.build(rule("d", "email", domain="people")).compile(column, KEYS)
    assert isinstance(other, methods.Compute)
    assert other.function(address) in masked


def test_a_domain_compares_addresses_as_it_says() -> None:
    composed, decomposed = "andr\u00e9@example.com", "andre\u0301@example.com"
    small, big = "anna@example.com", "ANNA@Example.COM"
    own, named = masking("email"), masking("email", domain="people")
    folded = masking("email", space=Domain(name="people", fold_case=True), domain="people")
    assert own(composed) != own(decomposed)
    assert named(composed) == named(decomposed)
    assert named(small) != named(big)
    assert folded(small) == folded(big)
    assert folded(composed) == folded(decomposed.replace("a", "A", 1))


@pytest.mark.parametrize(
    ("address", "site"),
    [
        ("anna@example.com", "example.com"),
        ("Anna.Smith+tag@Mail.Example.COM", "mail.example.com"),
        ('"anna smith"@example.com', "example.com"),
        ('"a@b"@example.com', "example.com"),
        (r'"a\"@b"@example.com', "example.com"),
        ("änne@example.com", "example.com"),
        ("用户@例子.测试", "例子.测试"),
        ("x@bu\u0308cher.example", "b\u00fccher.example"),
        ("x@xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("उपयोगकर्ता@उदाहरण.कॉम", "उदाहरण.कॉम"),
        ("😀@example.com", "example.com"),
        (f"{'a' * 200}@example.com", "example.com"),
    ],
)
def test_each_way_to_write_an_address(address: str, site: str) -> None:
    assert masking("email")(address).partition("@")[2] == site


@pytest.mark.parametrize(
    "value",
    [
        *("", "@", "anna", "anna@", "@example.com", "anna@example", "anna@localhost", "anna example.com"),
        *("a@b@example.com", "anna@example.com@", "@anna@example.com", '"anna"smith@example.com', '"anna@example.com'),
        *("Anna <anna@example.com>", "<anna@example.com>", "anna@example.com (Anna)", "anna(x)@example.com"),
        *("mailto:anna@example.com", "anna@example.com,bert@example.com", "anna@example.com bert@example.com"),
        *("anna@[192.0.2.1]", "anna@192.0.2.1", "anna@[IPv6:::1]", "anna@example.\u0661\u0662"),
        *(" anna@example.com", "anna@example.com ", "anna@example.com\n", "an na@example.com", "anna@exam ple.com"),
        *(".anna@example.com", "anna.@example.com", "an..na@example.com", "anna@.example.com", "anna@example..com"),
        *("anna@example.com.", "anna@-example.com", "anna@example-.com", "anna@exa_mple.com/x", "anna@example.com?subject=x"),
        *("an\x00na@example.com", "anna@exa\x00mple.com", "an\u00a0na@example.com", "anna@exa\u200bmple.com", "a\x85b@x.de"),
        *("anna\uff20example.com", "anna@example\uff0ecom", "anna@example\u3002com", "anna@\u202emoc.elpmaxe", "anna\\@x.de"),
        *('"an\nna"@example.com', f"anna@{'a' * 64}.com", f"anna@{'a.' * 130}com"),
    ],
)
def test_what_is_not_one_address_is_not_taken(value: str) -> None:
    for keep in ("domain", "tld"):
        assert refusal(masking("email", keep=keep), value) is Misfit.FORMAT


@given(st.text())
def test_nothing_before_the_last_sign_can_be_read(text: str) -> None:
    with contextlib.suppress(Unmaskable):
        assert masking("email")(f"{text}@example.com")[32:] == "@example.com"


def test_in_a_domain_per_subject_the_key_is_the_subject_s() -> None:
    column = Column(place="column c", type=TEXT, domain="own", declared={"people": Domain(name="people", per_subject=True)})
    transform = methods.build(rule("c", "email", domain="people", subject="id")).compile(column, KEYS)
    assert isinstance(transform, Contextual)


def test_less_of_the_site_and_another_mask_tell_no_more() -> None:
    whole, top = Email(domain="people"), Email(domain="people", keep="tld")
    assert top.no_weaker_than(whole)
    assert not whole.no_weaker_than(top)
    assert not top.no_weaker_than(Email(domain="others"))
    assert Phone(region="DE", mask="x").no_weaker_than(Phone(region="DE"))
    assert not Phone(region="DE").no_weaker_than(Phone())


def test_a_domain_that_compares_no_texts_is_refused() -> None:
    stated = rule("c", "email", domain="people")
    message = problem(stated, Domain(name="people", type="bigint"))
    assert "rule crm.people.c" in message
    assert "'people'" in message


@pytest.mark.parametrize(
    ("text", "params", "expected"),
    [
        ("+49 30 1234567", {}, "+49*********"),
        ("+49 (0)30/123-45 67", {}, "+49*********"),
        ("+1-202-555-0143", {}, "+1**********"),
        ("+44 20 7946 0000 ext. 5", {"mask": "x"}, "+44xxxxxxxxxx"),
        ("+39 02 3661 8300", {}, "+39**********"),
        ("tel:+49-30-1234567", {}, "+49*********"),
        ("030 1234567", {"region": "DE"}, "+49*********"),
        ("0049 30 1234567", {"region": "DE"}, "+49*********"),
        ("+1 202 555 0143", {"region": "DE"}, "+1**********"),
        ("(202) 555-0143", {"region": "US", "mask": "#"}, "+1##########"),
        ("+\u0664\u0669 \u0663\u0660 \u0661\u0662\u0663\u0664\u0665\u0666\u0667", {}, "+49*********"),
    ],
)
def test_of_a_phone_number_the_country_code_stays(text: str, params: dict[str, Any], expected: str) -> None:
    assert masking("phone", **params)(text) == expected


@given(st.sampled_from(["1", "49", "33", "420", "221", "7"]), st.text("0123456789", min_size=4, max_size=14))
def test_only_the_number_of_the_further_digits_can_be_told(code: str, digits: str) -> None:
    with contextlib.suppress(Unmaskable):
        masked = masking("phone", TEXT)(f"+{code}{digits}")
        assert masked == f"+{code}" + "*" * (len(masked) - len(code) - 1)
        assert len(masked) <= len(code) + len(digits) + 1


@pytest.mark.parametrize(
    ("value", "params"),
    [
        *((value, {}) for value in ("", "x", "+", "+49", "030 1234567", "0049 30 1234567", "+999 1234567", "anna@example.com")),
        *((value, {}) for value in ("+49 1", "+1 202 555 01433", "+1" * 200, "4000001234567899", "+49 30 1234567" * 3)),
        *((value, {"region": "US"}) for value in ("0049 30 1234567", "110", "555", "4000001234567899", "\x00", "\ufffd")),
    ],
)
def test_what_is_no_possible_phone_number_is_not_taken(value: str, params: dict[str, Any]) -> None:
    assert refusal(masking("phone", **params), value) is Misfit.FORMAT


@given(st.text() | st.text("+0123456789 -()./;=extphonecontext", max_size=30), st.sampled_from([None, "DE", "US"]))
def test_whatever_is_taken_becomes_a_country_and_a_mask(text: str, region: str | None) -> None:
    with contextlib.suppress(Unmaskable):
        code = masking("phone", region=region)(text).rstrip("*")
        assert code[0] == "+"
        assert 1 <= int(code[1:]) <= 999


@pytest.mark.parametrize("method", ["email", "phone"])
@pytest.mark.parametrize("value", [1, 491234567, 1.5, True, ["anna@example.com"], {"mail": "anna@example.com"}])
def test_only_texts_are_taken(method: str, value: Any) -> None:
    assert refusal(masking(method), value) is Misfit.TYPE


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("email", {"keep": "all"}),
        ("email", {"domain": ""}),
        ("email", {"subject": "id"}),
        ("email", {"mask": "*"}),
        ("phone", {"region": "de"}),
        ("phone", {"region": "ZZ"}),
        ("phone", {"region": ""}),
        ("phone", {"region": 49}),
        ("phone", {"mask": "0"}),
        ("phone", {"mask": "+"}),
        ("phone", {"last": 2}),
    ],
)
def test_other_parameters_are_refused_by_name(method: str, params: dict[str, Any]) -> None:
    message = problem(rule("c", method, **params))
    assert "rule crm.people.c" in message
    assert "params" in message


@pytest.mark.parametrize("method", ["email", "phone"])
@pytest.mark.parametrize("type_name", ["bigint", "enum", "uuid", "jsonb", "text[]"])
def test_a_column_of_another_type_is_refused(method: str, type_name: str) -> None:
    assert f"method {method} can't be used on a column of this type" in problem(rule("c", method, type=type_name))


def test_in_whole_records() -> None:
    rules = [rule("mail", "email", domain="people"), rule("phone", "phone", region="DE"), rule("odd", "email")]
    row = {"mail": "anna@example.com", "phone": "030 1234567", "odd": "secret-4711"}
    mail = masking("email", domain="people")("anna@example.com")
    expected = {"mail": mail, "phone": "+49*********", "odd": None}
    outcome = masker(*rules).mask(record(change(after=row), {"mail": row["mail"]}))
    assert outcome.target == f"masked.{TOPIC}"
    assert payload(outcome.value)["after"] == expected
    assert payload(outcome.key) == {"mail": mail}
    schema = envelope_schema({name: {"type": "string", "optional": True} for name in row})
    masked = masker(*rules).mask(record(described(schema, change(after=row))))
    assert misfits(masked.value) == []
    assert payload(masked.value)["after"] == expected
