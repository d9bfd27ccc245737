"""What differs between two policies, and that nothing which tells more is called stronger or equal."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cdc_masker.comparison import Difference, Verdict, compare, in_words, weakenings
from cdc_masker.engine import check
from cdc_masker.errors import PolicyError
from cdc_masker.lookup import Lookup, Table
from cdc_masker.policies import Domain, EnvelopeShape, Policy, Rule, TableDefault

_METHODS: st.SearchStrategy[tuple[str, dict[str, Any]]] = st.sampled_from(
    [
        ("keep", {}),
        ("null", {}),
        ("redact", {}),
        ("drop", {}),
        ("fixed", {"value": "x"}),
        ("truncate", {"length": 1}),
        ("truncate", {"length": 3}),
        ("partial", {"first": 1}),
        ("partial", {"last": 1}),
        ("tokenize", {}),
        ("tokenize", {"domain": "d"}),
    ]
)


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    pattern = draw(st.booleans())
    method, params = draw(_METHODS)
    return Rule(
        server=draw(st.sampled_from(["*", "shop"] + ["s*"] * pattern)),
        schema="crm",
        table=draw(st.sampled_from(["people", "orders", "_old"] + ["*", "p*", "_*"] * pattern)),
        column=draw(st.sampled_from(["email", "name"] + ["*mail", "*", "e*", "e~*"] * pattern)),
        path=draw(st.sampled_from([None, None, "$.a", "$..b"])),
        pattern=pattern,
        method=method,
        params=params,
        strict=draw(st.booleans()),
        allow_uniqueness_loss=draw(st.booleans()),
        reason=draw(st.sampled_from([None, "because"])),
    )


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    unique = {(rule.pattern, rule.target): rule for rule in draw(st.lists(rules(), max_size=5))}
    policy = Policy.of(
        draw(st.integers(1, 9)),
        key_epoch=draw(st.integers(1, 2)),
        rules=unique.values(),
        tables=[TableDefault(schema="crm", table="people", default="drop")] * draw(st.integers(0, 1)),
        domains=[Domain(name="d", fold_case=draw(st.booleans()))] * draw(st.integers(0, 1)),
        headers=draw(st.sampled_from([(), ("trace",)])),
        envelopes=[EnvelopeShape(topic="t", shape="flattened")] * draw(st.integers(0, 1)),
    )
    try:
        check(policy)
    except PolicyError:
        assume(False)
    return policy


many = settings(max_examples=300, deadline=None)


@many
@given(policies(), policies())
def test_policies_differ_in_nothing_exactly_if_their_digests_are_equal(one: Policy, other: Policy) -> None:
    assert (compare(one, other) == []) == (one.digest == other.digest)
    assert compare(one, one) == []


@many
@given(policies(), policies())
def test_what_is_stronger_one_way_is_weaker_the_other(one: Policy, other: Policy) -> None:
    back = {difference.place: difference for difference in compare(other, one)}
    for difference in compare(one, other):
        mirrored = back.pop(difference.place)
        assert (mirrored.before, mirrored.after) == (difference.after, difference.before)
        assert mirrored.breaks_schema == difference.breaks_schema
        match difference.verdict:
            case Verdict.STRONGER:
                assert mirrored.verdict is Verdict.WEAKER
            case Verdict.EQUAL:
                assert mirrored.verdict is Verdict.EQUAL or difference.place.startswith("domain ")  # nobody was in it
    assert not back


@many
@given(policies(), policies(), policies())
def test_steps_that_are_never_weaker_are_not_weaker_together(one: Policy, two: Policy, three: Policy) -> None:
    steps = [*compare(one, two), *compare(two, three)]
    if all(difference.verdict is not Verdict.WEAKER for difference in steps):
        assert all(difference.verdict is not Verdict.WEAKER for difference in compare(one, three))


@many
@given(policies(), policies(), st.data())
def test_whatever_is_decided_otherwise_about_a_column_is_told(one: Policy, other: Policy, data: st.DataObject) -> None:
    server = data.draw(st.sampled_from(["shop", "store", "other"]))
    name = data.draw(st.sampled_from(["people", "pets", "orders", "_old", "_"]))
    column = data.draw(st.sampled_from(["email", "mail", "name", "e", "e~"]))
    table = Table(server, "crm", name, "")
    said = []
    for lookup in map(Lookup, (one, other)):
        group = lookup.rules(table, column)
        said.append(in_words(group, "redact" if group else lookup.default(table)))
    if said[0] != said[1] and "undecided (drop)" not in said:  # a default is told as one
        assert said in [[difference.before, difference.after] for difference in compare(one, other)]


def pattern(tables: str, columns: str, method: str, server: str = "*", **params: Any) -> Rule:
    schema, _, table = tables.partition(".")
    return Rule(server=server, schema=schema, table=table, column=columns, pattern=True, method=method, params=params)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (pattern("crm.*", "email", "null"), [pattern("crm.*", "email", "keep"), pattern("crm._*", "email", "null")]),
        (pattern("crm.*", "e*", "null"), [pattern("crm.*", "e*", "keep"), pattern("crm.*", "e~*", "null")]),
        (Rule(schema="crm", table="people", column="a", method="null"), [pattern("*.*", "a", "keep", server="shop")]),
    ],
    ids=["tables that begin alike", "columns that begin alike", "a pattern for one server"],
)
def test_no_other_rule_hides_that_less_is_masked(old: Rule, new: list[Rule]) -> None:
    beside = [each for each in new if each.method == "null" or each.server != "*"]
    assert weakenings(Policy.of(1, rules=[old, *beside]), Policy.of(2, rules=new), [])


def test_a_column_that_a_pattern_was_about_is_not_masked_for_the_first_time() -> None:
    masked = Policy.of(2, rules=[rule("email", "partial", last=2)])
    assert not weakenings(Policy.of(1), masked, [])
    assert weakenings(Policy.of(1), masked, [pattern("crm.*", "*mail", "tokenize")])
    assert weakenings(Policy.of(1), masked, [rule("email", "tokenize")])
    assert not weakenings(Policy.of(1), masked, [pattern("hr.*", "*mail", "tokenize"), rule("phone", "tokenize")])


def rule(column: str, method: str, path: str | None = None, **more: Any) -> Rule:
    members = {name: more.pop(name) for name in ("type", "pattern", "allow_small_domain", "classification") if name in more}
    return Rule(schema="crm", table="people", column=column, method=method, path=path, params=more, **members)


def only(old: list[Rule], new: list[Rule]) -> Difference:
    (difference,) = compare(Policy.of(1, rules=old), Policy.of(2, rules=new))
    return difference


WEAKER = {
    "a column is kept": ([], [rule("a", "keep")]),
    "a token where nothing stood": ([], [rule("a", "tokenize")]),
    "more of a text": ([rule("a", "truncate", length=1)], [rule("a", "truncate", length=2)]),
    "another part": ([rule("a", "partial", first=1)], [rule("a", "partial", last=1)]),
    "another domain": ([rule("a", "tokenize", domain="x")], [rule("a", "tokenize", domain="y")]),
    "a domain that others share": ([rule("a", "tokenize")], [rule("a", "tokenize", domain="x")]),
    "the rule is gone and a pattern keeps": (
        [rule("a", "null"), rule("*", "keep", pattern=True)],
        [rule("*", "keep", pattern=True)],
    ),
    "a small domain is accepted": (
        [rule("a", "tokenize")],
        [msgspec.structs.replace(rule("a", "tokenize"), allow_small_domain=True)],
    ),
    "the rest is kept": ([rule("a", "keep", "$.x")], [rule("a", "keep", "$.x"), rule("a", "keep")]),
    "another part is kept": ([rule("a", "keep", "$.x")], [rule("a", "keep", "$.x"), rule("a", "keep", "$.y")]),
    "a part is masked no longer": (
        [rule("a", "null", "$.x"), rule("a", "keep")],
        [rule("a", "null", "$.y"), rule("a", "keep")],
    ),
    "a part that lay below another": (
        [rule("a", "null", "$..x"), rule("a", "keep")],
        [rule("a", "tokenize", "$.x")],
    ),
}
STRONGER = {
    "a column is kept no longer": ([rule("a", "keep")], []),
    "a token in place of a part": ([rule("a", "keep")], [rule("a", "tokenize")]),
    "nothing in place of a token": ([rule("a", "tokenize")], [rule("a", "null")]),
    "less of a text": ([rule("a", "truncate", length=2)], [rule("a", "truncate", length=1)]),
    "parts of what was kept": ([rule("a", "keep")], [rule("a", "keep", "$.x")]),
    "one part less": ([rule("a", "keep", "$.x"), rule("a", "keep", "$.y")], [rule("a", "keep", "$.x")]),
    "a part of it is masked": (
        [rule("a", "keep", "$.x"), rule("a", "keep")],
        [rule("a", "null", "$.x"), rule("a", "keep")],
    ),
}
EQUAL = {
    "null in place of nothing": ([], [rule("a", "null")]),
    "a constant": ([rule("a", "redact")], [rule("a", "fixed", value="x")]),
    "a type": ([rule("a", "tokenize")], [rule("a", "tokenize", type="text")]),
    "a classification": ([rule("a", "tokenize")], [rule("a", "tokenize", classification="email")]),
}


@pytest.mark.parametrize(
    ("rules", "verdict"),
    [(rules, verdict) for verdict, cases in zip(Verdict, (WEAKER, STRONGER, EQUAL), strict=True) for rules in cases.values()],
    ids=[*WEAKER, *STRONGER, *EQUAL],
)
def test_a_change_is_judged_by_what_it_tells(rules: tuple[list[Rule], list[Rule]], verdict: Verdict) -> None:
    assert only(*rules).verdict is verdict


@pytest.mark.parametrize(
    ("old", "new", "breaks"),
    [
        ([rule("a", "keep")], [rule("a", "drop")], True),
        ([rule("a", "drop")], [], True),
        ([rule("a", "keep", type="int4")], [rule("a", "null", type="int4")], False),
        ([rule("a", "keep", type="uuid")], [rule("a", "encrypt", type="uuid")], True),
        ([], [rule("a", "tokenize", type="numeric(10,2)")], True),
        ([rule("a", "keep", type="int4")], [rule("a", "keep", type="int8")], False),
        ([rule("a", "keep", type="enum")], [rule("a", "redact", type="enum")], False),
        ([rule("a", "keep")], [rule("a", "tokenize")], False),
    ],
)
def test_a_change_tells_if_rows_get_another_shape(old: list[Rule], new: list[Rule], breaks: bool) -> None:
    assert only(old, new).breaks_schema is breaks


def test_a_change_of_a_default_a_header_or_a_shape_is_looked_at() -> None:
    old = Policy.of(1)
    new = Policy.of(
        2,
        tables=[TableDefault(schema="crm", table="people", default="quarantine")],
        headers=["trace"],
        envelopes=[EnvelopeShape(topic="t", shape="signals")],
        domains=[Domain(name="d", type="text")],
    )
    found = {difference.place: difference.verdict for difference in compare(old, new)}
    weaker = dict.fromkeys(("default of crm.people", "header trace", "topic t"), Verdict.WEAKER)
    assert found == {**weaker, "domain d": Verdict.EQUAL}


def test_a_domain_that_columns_are_in_is_looked_at() -> None:
    rules = [rule("a", "tokenize", domain="d")]

    def declared(**how: bool) -> Policy:
        return Policy.of(1, rules=rules, domains=[Domain(name="d", type="text", **how)])

    (folded,) = compare(declared(), declared(fold_case=True))
    assert (folded.place, folded.before, folded.after, folded.verdict) == (
        "domain d",
        "type text",
        "type text, fold_case",
        Verdict.WEAKER,
    )


def test_a_domain_that_no_column_is_in_any_more_tells_nothing() -> None:
    used = Policy.of(1, rules=[rule("a", "tokenize", domain="d")])
    found = compare(used, Policy.of(2, domains=[Domain(name="d", fold_case=True)]))
    assert {each.place: each.verdict for each in found} == {"crm.people.a": Verdict.STRONGER, "domain d": Verdict.EQUAL}


def test_differences_are_said_in_words() -> None:
    difference = only([], [rule("a", "truncate", length=2, type="text"), rule("a", "keep", "$.x", type="text")])
    assert difference.place == "crm.people.a"
    assert difference.before == "undecided (redact)"
    assert difference.after == '$.x keep(type="text"); the rest truncate(length=2, type="text")'


def test_a_first_mask_needs_a_reason_where_records_were_quarantined_before() -> None:
    tables = [TableDefault(schema="crm", table="people", default="quarantine")]
    old = Policy.of(1, tables=tables)
    assert weakenings(old, Policy.of(2, tables=tables, rules=[rule("a", "tokenize")]), [])
    assert not weakenings(Policy.of(1), Policy.of(2, rules=[rule("a", "tokenize")]), [])
