"""What decides about a column: names before patterns, the more specific pattern before others, else the table's default."""

from __future__ import annotations

import itertools
from typing import Any, Literal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cdc_masker.errors import PolicyError, Reason
from cdc_masker.events import Fate
from cdc_masker.leaks.keeps import Keeps
from cdc_masker.lookup import Lookup, Table, as_in_topics, overlap
from cdc_masker.pipeline import Masker
from cdc_masker.policies import Policy, Rule, TableDefault
from tests.unit.building import KEYS, change, described, envelope_schema, payload, record, row_schema, source

PEOPLE = Table("shop", "crm", "people", "shop.crm.people")


def pattern(where: str, column: str, method: str = "keep", *, server: str = "*", **params: Any) -> Rule:
    schema, table = where.split(".")
    return Rule(server=server, schema=schema, table=table, column=column, pattern=True, method=method, params=params)


def named(column: str, method: str = "keep", *, server: str = "*", **params: Any) -> Rule:
    return Rule(server=server, schema="crm", table="people", column=column, method=method, params=params)


def decided(column: str, *rules: Rule, table: Table = PEOPLE) -> str | None:
    group = Lookup(Policy.of(1, rules=rules)).rules(table, column)
    return group[0].method if group else None


IN_ORDER = [
    named("email", "keep", server="shop"),
    named("email", "null"),
    pattern("crm.people", "email", "redact", server="shop"),
    pattern("crm.people", "email", "drop"),
    pattern("c*.people", "email", "keep"),
    pattern("*.people", "email", "null"),
    pattern("crm.peop*", "email", "redact"),
    pattern("crm.*le", "email", "drop"),
    pattern("crm.*", "email", "keep"),
    pattern("*.*", "email", "null"),
    pattern("crm.people", "emai*", "redact"),
    pattern("crm.people", "*ail", "drop"),
    pattern("*.*", "*mai*", "keep"),
    pattern("*.*", "*", "null"),
]


@pytest.mark.parametrize("first", range(len(IN_ORDER)))
def test_what_says_most_wins(first: int) -> None:
    assert Lookup(Policy.of(1, rules=IN_ORDER[first:])).rules(PEOPLE, "email") == (IN_ORDER[first],)


def test_patterns_match_whole_names_starts_ends_and_middles() -> None:
    for text, matching in (
        ("email", ["email"]),
        ("e*", ["email", "e"]),
        ("*l", ["email", "tail"]),
        ("*ai*", ["email", "tail"]),
    ):
        assert [name for name in ("email", "e", "tail") if decided(name, pattern("*.*", text))] == matching


def test_no_pattern_is_about_logical_messages_or_unknown_tables() -> None:
    everything = pattern("*.*", "*")
    assert decided("content", everything, table=Table("shop", "", "prefix", "shop.message")) is None
    assert decided("content", everything, table=Table("", "", "", "t")) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pattern("*.*", "*mail"), pattern("*.*", "mail*")),
        (pattern("*.*", "*mail*"), pattern("*.*", "*name*")),
        (pattern("crm*.*", "x"), pattern("*crm.*", "x")),
    ],
)
def test_patterns_that_say_as_much_about_one_column_are_refused(one: Rule, other: Rule) -> None:
    with pytest.raises(PolicyError, match="says as much as pattern"):
        Lookup(Policy.of(1, rules=[one, other]))


@pytest.mark.parametrize(("one", "other"), [("mail*", "name*"), ("*mail", "*name"), ("email", "names")])
def test_patterns_that_never_meet_may_say_as_much(one: str, other: str) -> None:
    Lookup(Policy.of(1, rules=[pattern("*.*", one), pattern("*.*", other)]))


@pytest.mark.parametrize("text", ["a*b", "**", "*a*b*"])
def test_a_star_in_the_middle_of_a_name_is_refused(text: str) -> None:
    with pytest.raises(PolicyError, match=r"`\*` stands at the start or the end"):
        Policy.of(1, rules=[pattern("*.*", text)])


PARTS = st.text("ab", max_size=3).flatmap(
    lambda text: st.sampled_from([text or "a", f"{text}*", f"*{text}", f"*{text or 'a'}*"])
)


@given(one=PARTS, other=PARTS, names=st.lists(st.text("ab~", min_size=1, max_size=6), min_size=1, max_size=40))
def test_two_patterns_overlap_if_any_name_matches_both(one: str, other: str, names: list[str]) -> None:
    rules = pattern("*.*", one), pattern("*.*", other, "null")
    common = overlap(*rules)
    met = [name for name in names if decided(name, rules[0]) and decided(name, rules[1])]
    if common is None:
        assert not met
    else:
        assert decided(common[3], rules[0])
        assert decided(common[3], rules[1])


SCHEMAS = {"id": {"type": "int64"}, "email": {"type": "string"}}


@pytest.mark.parametrize("table", ["people", "Type Zoo", "überall"])
@pytest.mark.parametrize("rule", [pattern("crm.*", "email", "tokenize"), pattern("*.*", "*", "tokenize")])
@pytest.mark.parametrize("with_schema", [False, True])
def test_a_tombstone_has_the_key_of_the_delete_before_it(table: str, rule: Rule, with_schema: bool) -> None:
    columns = {"id": 7, "email": "ana@example.com"}
    topic = f"shop.crm.{as_in_topics(table)}"
    event: Any = change("d", table=table, before=columns)
    key: Any = columns
    if with_schema:
        event, key = described(envelope_schema(SCHEMAS), event), described(row_schema(SCHEMAS, "Key"), columns)
    masker = Masker(Policy.of(1, rules=[rule]), KEYS)
    delete, tombstone = (masker.mask(record(value, key, topic=topic)) for value in (event, None))
    assert delete.fate is tombstone.fate is Fate.MASKED
    assert delete.key == tombstone.key
    assert payload(delete.key) == payload(delete.value)["before"] | (
        {} if rule.column == "*" else {"id": payload(delete.key)["id"]}
    )


def test_a_tombstone_whose_topic_reads_in_two_ways_is_quarantined_where_patterns_decide() -> None:
    masker = Masker(Policy.of(1, rules=[pattern("*.*", "email")]), KEYS)
    outcome = masker.mask(record(None, {"id": 7}, topic="shop.eu.crm.people"))
    assert (outcome.fate, outcome.reason) == (Fate.QUARANTINED, Reason.AMBIGUOUS_TABLE)


def test_columns_that_a_pattern_matches_do_not_join_unless_it_names_a_domain() -> None:
    tables = ("people", "orders")
    columns = {"email": "ana@example.com", "work_email": "ana@example.com"}

    def tokens(**params: Any) -> list[str]:
        masker = Masker(Policy.of(1, rules=[pattern("crm.*", "*email", "tokenize", **params)]), KEYS)
        rows = [payload(masker.mask(record(change(table=table, after=columns))).value)["after"] for table in tables]
        return [*itertools.chain.from_iterable(row.values() for row in rows)]

    assert len(set(tokens())) == 4
    assert len(set(tokens(domain="mail"))) == 1


def default(kind: Literal["redact", "drop", "quarantine"], *rules: Rule, **values: Any) -> Any:
    tables = [TableDefault(schema="crm", table="people", default=kind)]
    return Masker(Policy.of(1, rules=rules, tables=tables), KEYS).mask(record(change(after=values), values.pop("key", None)))


def test_a_table_may_drop_what_nobody_decided() -> None:
    outcome = default("drop", named("id"), id=1, email="ana@example.com")
    assert payload(outcome.value)["after"] == {"id": 1}


def test_a_table_may_quarantine_what_nobody_decided() -> None:
    outcome = default("quarantine", named("id"), id=1, email="ana@example.com")
    assert (outcome.fate, outcome.reason, outcome.place) == (Fate.QUARANTINED, Reason.UNDECIDED, "email")
    assert default("quarantine", named("id"), named("email", "redact"), id=1, email="x").fate is Fate.MASKED


def test_the_default_of_a_table_is_for_that_table_only() -> None:
    tables = [TableDefault(schema="crm", table="people", default="quarantine")]
    masker = Masker(Policy.of(1, tables=tables), KEYS)
    assert masker.mask(record(change(table="orders", after={"id": 1}))).fate is Fate.MASKED
    assert masker.mask(record(change(after={"id": 1}, source=source(name="other")))).fate is Fate.QUARANTINED


def test_a_key_column_that_nobody_decided_is_never_dropped() -> None:
    tables = [TableDefault(schema="crm", table="people", default="drop")]
    masker = Masker(Policy.of(1, tables=tables), KEYS)
    outcome = masker.mask(record(change("d", before={"id": 7, "email": "x"}), {"id": 7}))
    assert set(payload(outcome.key)) == set(payload(outcome.value)["before"]) == {"id"}
    assert masker.mask(record(None, {"id": 7})).key == outcome.key


@given(
    rules=st.lists(st.tuples(PARTS, PARTS, st.booleans()), min_size=1, max_size=4),
    column=st.text("ab[?", min_size=1, max_size=4),
    table=st.sampled_from(["a", "ab", "b", "a b"]),
)
def test_the_search_for_leaks_agrees_on_what_is_kept(rules: list[tuple[str, str, bool]], column: str, table: str) -> None:
    """It has its own reading of a policy, which shares no code with the one that masks."""
    made = {(t, c): pattern(f"crm.{t}", c, "keep" if keep else "null") for t, c, keep in rules}
    try:
        policy = Policy.of(1, rules=made.values())
        lookup = Lookup(policy)
    except PolicyError:
        assume(False)
    found = lookup.rules(Table("shop", "crm", table, f"shop.crm.{as_in_topics(table)}"), column)
    assert Keeps(policy).column(("shop", "crm", table), column) == (bool(found) and found[0].method == "keep")
