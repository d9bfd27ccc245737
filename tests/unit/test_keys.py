"""A record's key, the tombstone after it, and the headers of a key change: masked as the columns they are."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from cdc_masker.errors import Reason
from cdc_masker.events import Fate, Headers, Outcome
from cdc_masker.pipeline import Masker
from cdc_masker.policies import Domain, Policy, Rule
from tests.unit.building import (
    KEYS,
    TOPIC,
    accepting,
    change,
    compact,
    described,
    envelope_schema,
    masker,
    payload,
    record,
    row_schema,
    rule,
)

MAIL = rule("mail", "tokenize", domain="email")
ID = str(uuid.UUID(int=0x93370F709F204A8289BA0F80E2DD4F58))
TYPES: dict[str, dict[str, Any]] = {
    "id": {"type": "int64", "default": 0},
    "no": {"type": "int32"},
    "mail": {"type": "string"},
    "ref": {"type": "string", "name": "io.debezium.data.Uuid", "version": 1},
    "tier": {"type": "string", "name": "io.debezium.data.Enum", "version": 1, "parameters": {"allowed": "free,pro"}},
    "small": {"type": "int16"},
    "day": {"type": "int32", "name": "io.debezium.time.Date", "version": 1},
}


def schema_record(columns: dict[str, Any], **more: Any) -> Any:
    types = {name: TYPES[name] for name in columns}
    event = None if more.pop("tombstone", False) else described(envelope_schema(types), change("d", before=columns))
    return record(event, described(row_schema(types, "Key"), columns), **more)


def key_and_image(outcome: Outcome) -> tuple[Any, Any]:
    return payload(outcome.key), payload(outcome.value)["before"]


@pytest.mark.parametrize("rules", [[], [MAIL], [rule("id", "keep"), MAIL], accepting(rule("mail", "redact"))])
def test_key_and_row_image_agree(rules: list[Rule]) -> None:
    columns = {"id": 7, "mail": "ana@example.com"}
    for raw in (record(change("d", before=columns), columns), schema_record(columns)):
        key, image = key_and_image(masker(*rules).mask(raw))
        assert key == image
        assert "ana" not in str(key)


@pytest.mark.parametrize("rules", [[], [MAIL], [rule("id", "keep")]])
@pytest.mark.parametrize("with_schema", [False, True])
def test_a_tombstone_has_the_key_of_the_delete_before_it(rules: list[Rule], with_schema: bool) -> None:
    columns = {"id": 7, "mail": "ana@example.com"}
    delete = schema_record(columns) if with_schema else record(change("d", before=columns), columns)
    tombstone = schema_record(columns, tombstone=True) if with_schema else record(None, columns)
    one, other = masker(*rules).mask(delete), masker(*rules).mask(tombstone)
    assert other.fate is Fate.MASKED
    assert other.value is None
    assert other.key == one.key
    assert b"ana" not in (other.key or b"")


def test_an_undecided_key_column_becomes_a_token_of_its_type() -> None:
    columns = {"id": 7, "no": 7, "mail": "ana", "ref": ID}
    key = payload(masker().mask(schema_record(columns)).key)
    assert len(key["mail"]) == 32
    assert type(key["id"]) is int
    assert -(2**31) <= key["no"] < 2**31
    assert uuid.UUID(key["ref"]).version == 8
    assert not set(key.values()) & set(columns.values())


def test_an_undecided_key_column_without_a_schema_becomes_a_token_of_its_kind() -> None:
    key = payload(masker().mask(record(None, {"id": 7, "mail": "ana", "ref": ID})).key)
    assert type(key["id"]) is int
    assert key["id"] != 7
    assert len(key["mail"]) == len(key["ref"]) == 32


def test_a_key_column_that_no_token_fits_is_redacted() -> None:
    assert payload(masker().mask(schema_record({"small": 7, "day": 9000})).key) == {"small": 0, "day": 0}
    assert payload(masker().mask(record(None, {"a": 1.5, "b": True, "c": {"x": 1}, "d": [1]})).key) == dict.fromkeys("abcd")


def test_distinct_keys_stay_distinct() -> None:
    keys = [{"id": n} for n in range(50)] + [{"id": str(n)} for n in range(50)] + [{"a": "x", "b": n} for n in range(50)]
    assert len({masker().mask(record(None, key)).key for key in keys}) == 150


def test_columns_of_a_composite_key_are_masked_each_in_its_own_domain() -> None:
    key = payload(masker().mask(record(None, {"a": "x", "b": "x"})).key)
    assert key["a"] != key["b"]


def test_undecided_key_columns_of_different_tables_do_not_join() -> None:
    one, other = (masker().mask(record(None, {"id": 7}, topic=topic)).key for topic in (TOPIC, "shop.crm.orders"))
    assert one != other


def test_key_columns_join_where_rules_share_a_domain() -> None:
    shared = masker(MAIL, rule("buyer", "tokenize", table="orders", domain="email"))
    one = payload(shared.mask(record(None, {"mail": "ana@example.com"})).key)
    other = payload(shared.mask(record(change(table="orders", after={"buyer": "ana@example.com"}))).value)["after"]
    assert one["mail"] == other["buyer"]


def test_an_undecided_column_is_a_token_in_the_row_only_where_it_is_in_the_key() -> None:
    result = masker().mask(record(change(after={"id": 7, "other": 7}), {"id": 7}))
    row = payload(result.value)["after"]
    assert row["other"] is None
    assert row["id"] == payload(result.key)["id"]


@pytest.mark.parametrize("header", ["__debezium.newkey", "__debezium.oldkey"])
@pytest.mark.parametrize("rules", [[], [MAIL], [rule("id", "keep")]])
@pytest.mark.parametrize("with_schema", [False, True])
def test_the_other_key_of_a_key_change_is_masked_as_the_record_that_has_it(
    with_schema: bool, rules: list[Rule], header: str
) -> None:
    old, new = {"id": 7, "mail": "ana@example.com"}, {"id": 8, "mail": "bob@example.com"}
    build = schema_record if with_schema else lambda columns, **more: record(change("d", before=columns), columns, **more)
    outcome = masker(*rules).mask(build(old, headers=((header, compact(new).encode()),)))
    name, value = outcome.headers[0]
    assert name == header
    assert value is not None
    assert b"bob" not in value
    assert payload(value) == payload(masker(*rules).mask(build(new)).key)


def test_the_other_key_is_masked_on_a_tombstone_too() -> None:
    headers = (("__debezium.newkey", b'{"mail":"bob@example.com"}'),)
    tombstone = masker(MAIL).mask(record(None, {"mail": "ana@example.com"}, headers=headers))
    assert tombstone.headers[0][1] == masker(MAIL).mask(record(None, {"mail": "bob@example.com"})).key


def test_the_other_key_keeps_the_schema_that_it_comes_with() -> None:
    columns = {"id": 7, "mail": "ana@example.com"}
    other = schema_record({"id": 8, "mail": "bob@example.com"})
    outcome = masker(MAIL).mask(schema_record(columns, headers=(("__debezium.oldkey", other.key),)))
    assert outcome.headers[0][1] == masker(MAIL).mask(other).key


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"bob@example.com", Reason.NOT_JSON),
        (b'"bob@example.com"', Reason.BAD_KEY),
        (b"{}", Reason.BAD_KEY),
        (b"\xff", Reason.NOT_UTF8),
        (b'{"name":"bob"}', Reason.SCHEMA_MISMATCH),
        (b'{"id":1,"mail":"x","name":"bob"}', Reason.SCHEMA_MISMATCH),
    ],
)
def test_an_other_key_that_cannot_be_masked_is_not_let_through(value: bytes, reason: Reason) -> None:
    columns = {"id": 7, "mail": "ana@example.com"}
    outcome = masker(MAIL).mask(schema_record(columns, headers=(("__debezium.newkey", value),)))
    assert (outcome.fate, outcome.reason) == (Fate.QUARANTINED, reason)


def test_an_other_key_without_a_key_is_refused() -> None:
    outcome = masker().mask(record(change(after={"a": 1}), headers=(("__debezium.newkey", b'{"a":1}'),)))
    assert outcome.reason is Reason.BAD_KEY


def test_headers_pass_by_an_allow_list() -> None:
    headers: Headers = (
        ("trace", b"\xff\x00"),
        ("user", b"canary"),
        ("TRACE", b"canary"),
        ("empty", None),
        ("trace", b"again"),
        ("__debezium.newkey", None),
        ("cdc-masker", b"canary"),
    )
    outcome = masker(headers=["trace", "empty"]).mask(record(change(after={"a": 1}), headers=headers))
    assert outcome.headers == (
        ("trace", b"\xff\x00"),
        ("empty", None),
        ("trace", b"again"),
        ("cdc-masker", b"v=1;p=2;o=41;g=1;pv=7;ke=1"),
    )
    assert masker().mask(record(change(after={"a": 1}), headers=headers)).headers == outcome.headers[-1:]


@pytest.mark.parametrize("key", ["5", '"ana"', "[1]", "null", "{}", "true"])
def test_a_key_that_is_no_row_is_refused(key: str) -> None:
    for value in (change(after={"a": 1}), None):
        outcome = masker().mask(record(value, key))
        assert (outcome.fate, outcome.reason) == (Fate.QUARANTINED, Reason.BAD_KEY)


def keep(schema: str, table: str, column: str = "id", server: str = "*") -> Rule:
    return Rule(server=server, schema=schema, table=table, column=column, method="keep")


def tombstone_key(topic: str, *rules: Rule) -> Outcome:
    return Masker(Policy.of(1, rules=rules), KEYS).mask(record(None, {"id": 7}, topic=topic))


@pytest.mark.parametrize(
    ("table", "topic"),
    [
        ("people", "shop.crm.people"),
        ("Type Zoo", "shop.crm.Type_Zoo"),
        ("Größe", "shop.crm.Gr__e"),
        ("a.b", "shop.crm.a.b"),
        ("people", "eu.shop.crm.people"),
        ("zoo 🦁", "shop.crm.zoo___"),  # Debezium replaces each unit of UTF-16
    ],
)
def test_a_tombstone_finds_its_table_by_the_name_of_its_topic(table: str, topic: str) -> None:
    assert payload(tombstone_key(topic, keep("crm", table)).key) == {"id": 7}


def test_a_tombstone_of_another_server_is_not_found() -> None:
    rules = keep("crm", "people", server="shop")
    assert payload(tombstone_key("shop.crm.people", rules).key) == {"id": 7}
    assert payload(tombstone_key("other.crm.people", rules).key) != {"id": 7}


@pytest.mark.parametrize("topic", ["people", "crm.people", "shop.CRM.people", "shop.crm.people.x", "shop_crm_people"])
def test_a_tombstone_of_a_topic_that_no_rule_names_gets_a_token(topic: str) -> None:
    key = payload(tombstone_key(topic, keep("crm", "people")).key)
    assert key["id"] != 7


@pytest.mark.parametrize(
    ("topic", "rules"),
    [
        ("shop.crm.Type_Zoo", [keep("crm", "Type Zoo"), keep("crm", "Type-Zoo"), keep("crm", "Type_Zoo")]),
        ("shop.crm.Type_Zoo", [keep("crm", "Type Zoo"), keep("crm", "Type_Zoo", "other")]),
        ("shop.a.b.c", [keep("a", "b.c"), keep("a.b", "c")]),
        ("shop.a.b.c", [keep("a", "b.c"), keep("b", "c")]),
    ],
)
def test_a_tombstone_whose_table_is_ambiguous_is_quarantined(topic: str, rules: list[Rule]) -> None:
    outcome = tombstone_key(topic, *rules)
    assert (outcome.fate, outcome.reason) == (Fate.QUARANTINED, Reason.AMBIGUOUS_TABLE)


def test_a_tombstone_without_a_key_passes() -> None:
    outcome = masker().mask(record(None, None))  # after a delete in a table that has no key
    assert (outcome.fate, outcome.key, outcome.value) == (Fate.MASKED, None, None)


def test_key_columns_that_collapse_are_told_by_topic() -> None:
    watched = masker(rule("id", "keep"), *accepting(rule("code", "redact")))
    types: dict[str, dict[str, Any]] = {"id": {"type": "int64"}, "code": {"type": "string"}, "flag": {"type": "boolean"}}
    row = {"id": 1, "code": "a", "flag": True}
    for key, expected in ((["id"], {}), (["id", "code"], {}), (list(row), {TOPIC: {"flag"}})):
        key_schema = row_schema({name: types[name] for name in key}, "Key")
        event = described(envelope_schema(types), change(after=row))
        watched.mask(record(event, described(key_schema, {name: row[name] for name in key})))
        assert watched.collapsed() == expected


UNFIT = {
    "lossy": [rule("mail", "truncate", length=3)],
    "constant": [rule("mail", "fixed", value="x")],
    "dropped": accepting(rule("mail", "drop")),
    "by parts": [Rule(schema="crm", table="people", column="mail", path="$.a", method="keep")],
}


@pytest.mark.parametrize("rules", UNFIT.values(), ids=UNFIT.keys())
@pytest.mark.parametrize("with_schema", [False, True])
def test_a_rule_under_which_keys_could_collide_is_refused_with_the_first_record_that_shows_it(
    rules: list[Rule], with_schema: bool
) -> None:
    columns = {"id": 7, "mail": "ana@example.com"}
    raw = schema_record(columns) if with_schema else record(change("d", before=columns), columns)
    tombstone = schema_record(columns, tombstone=True) if with_schema else record(None, columns)
    for each in (raw, tombstone):
        outcome = masker(rule("id", "keep"), *rules).mask(each)
        assert (outcome.fate, outcome.reason, outcome.place) == (Fate.QUARANTINED, Reason.UNFIT_KEY_RULE, "key.mail")
    assert masker(rule("id", "keep"), *rules).mask(record(change("d", before=columns), {"id": 7})).fate is Fate.MASKED


@pytest.mark.parametrize(
    ("rules", "columns"),
    [
        ([rule("id", "tokenize", type="bigint", domain="small")], {"id": 1 << 40}),
        ([rule("mail", "fpe", alphabet="digits")], {"mail": "12"}),
        ([rule("mail", "encrypt")], {"mail": True}),
    ],
)
def test_a_value_of_a_key_that_its_method_cannot_take_is_no_constant(rules: list[Rule], columns: dict[str, Any]) -> None:
    """Else all such rows would get one key, and compaction would leave one of them."""
    policy = Policy.of(1, rules=rules, domains=[Domain(name="small", type="integer")])
    outcome = Masker(policy, KEYS).mask(record(change(after=columns), columns))
    (name,) = columns
    assert (outcome.fate, outcome.reason, outcome.place) == (Fate.QUARANTINED, Reason.UNMASKABLE, f"key.{name}")
    assert Masker(policy, KEYS).mask(record(change(after=columns | {"k": 1}), {"k": 1})).fate is Fate.MASKED
    accepted = Policy.of(1, rules=accepting(*rules), domains=policy.domains)
    assert Masker(accepted, KEYS).mask(record(change(after=columns), columns)).fate is Fate.MASKED
