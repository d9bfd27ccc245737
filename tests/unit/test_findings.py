"""What a policy lacks for a source: each finding where it belongs, warnings as warnings, and nothing where nothing is wrong."""

from __future__ import annotations

import msgspec
import pytest

from cdc_masker import engine
from cdc_masker.drafting.findings import Finding, Word, check
from cdc_masker.drafting.tables import Source, SourceColumn, Unique
from cdc_masker.methods.pseudonym import Pseudonym
from cdc_masker.policies import Domain, EnvelopeShape, Policy, Rule
from tests.unit.building import accepting, rule
from tests.unit.sources import column, link, source, table

PEOPLE = "people"


def found(given: Source, *rules: Rule, domains: tuple[Domain, ...] = ()) -> list[Finding]:
    """The findings for a sound policy."""
    policy = Policy.of(3, rules=rules, domains=domains)
    engine.check(policy)
    report = check(policy, given)
    assert (report.policy_version, report.policy_digest) == (3, policy.digest)
    assert report.complete == all(each.word.is_warning for each in report.findings)
    return list(report.findings)


def words(given: Source, *rules: Rule, domains: tuple[Domain, ...] = ()) -> list[tuple[Word, str]]:
    return [(each.word, each.column) for each in found(given, *rules, domains=domains)]


def people(*columns: SourceColumn, key: tuple[str, ...] = (), **facts: object) -> Source:
    return source(table(PEOPLE, *columns, key=key, **facts))


def explained(of: Rule, **allowed: bool) -> Rule:
    return msgspec.structs.replace(of, reason="a test", **allowed)


def test_a_column_that_no_rule_decides_on_is_undecided() -> None:
    given = people(column("a"), column("b"), column("c"))
    pattern = Rule(schema="*", table="*", column="b", method="redact", pattern=True)
    part = msgspec.structs.replace(rule("c", "keep"), path="$.x")
    assert words(given, pattern, part) == [(Word.UNDECIDED, "a")]
    other = msgspec.structs.replace(rule("a", "redact"), server="another")
    assert (Word.UNDECIDED, "a") in words(given, other)


def test_so_is_one_whose_method_can_not_be_used_on_its_type() -> None:
    assert words(people(column("a", "date")), rule("a", "partial", last=2)) == [(Word.UNDECIDED, "a")]
    assert words(people(column("a", "enum")), rule("a", "tokenize")) == [(Word.UNDECIDED, "a")]
    few = explained(rule("a", "tokenize"), allow_small_domain=True)
    assert words(people(column("a", "enum")), few) == []


def test_rules_of_columns_that_are_gone_are_named_and_those_of_unknown_tables_only_shown() -> None:
    given = people(column("a"))
    rules = [rule("a", "redact"), rule("b", "redact"), rule("x", "redact", table="elsewhere")]
    assert words(given, *rules) == [(Word.UNKNOWN, "x"), (Word.GONE, "b")]
    here = [msgspec.structs.replace(each, server="shop") for each in rules]
    assert words(given, *here) == [(Word.GONE, "x"), (Word.GONE, "b")]
    there = [rules[0], *(msgspec.structs.replace(each, server="another") for each in rules[1:])]
    message = Rule(schema="", table="hint", column="content", method="redact")
    pattern = Rule(schema="crm", table="no*", column="x", method="redact", pattern=True)
    assert words(given, *there, message, pattern) == []
    stated = EnvelopeShape(topic="debezium.notifications", shape="flattened", schema="crm", table="elsewhere")
    report = check(Policy.of(1, rules=rules[::2], envelopes=[stated]), given)
    assert report.findings == ()


def test_a_type_that_is_no_longer_what_the_rule_says_is_named() -> None:
    given = people(column("a", "bigint"), column("b", "varchar(80)"), column("c", "zoo.address"), column("d", "numeric(10,2)"))
    assert words(
        given,
        rule("a", "redact", type="integer"),
        rule("b", "redact", type="text"),
        rule("c", "redact", type="bytea"),
        rule("d", "redact", type="numeric(12,2)"),
    ) == [(Word.RETYPED, "a"), (Word.RETYPED, "d")]


UNIQUE = (Unique(words="unique index 'u'", columns=("a", "b")),)


def test_lossy_methods_in_keys_and_unique_indexes_need_a_reason() -> None:
    keyed, indexed = people(column("a"), key=("a",)), people(column("a"), column("b"), unique=UNIQUE)
    lossy = rule("a", "redact")
    assert words(keyed, lossy) == [(Word.LOSSY, "a")]
    assert "primary key" in found(keyed, lossy)[0].problem
    assert words(indexed, lossy, rule("b", "tokenize")) == [(Word.LOSSY, "a")]
    assert "unique index 'u'" in found(indexed, lossy, rule("b", "tokenize"))[0].problem
    assert words(keyed, explained(lossy, allow_uniqueness_loss=True)) == []
    assert words(keyed, rule("a", "tokenize")) == []
    folding = Domain(name="d", type="text", fold_case=True)
    assert words(keyed, rule("a", "tokenize", domain="d"), domains=(folding,)) == [(Word.LOSSY, "a")]


def test_what_never_fits_a_key_is_named_whatever_the_rule_accepts() -> None:
    keyed = people(column("a", "integer"), column("b"), key=("a",))
    for unfit in accepting(rule("a", "drop"), rule("a", "random")):
        assert (Word.LOSSY, "a") in words(keyed, explained(unfit), rule("b", "redact"))
    subject = Domain(name="d", per_subject=True)
    mine = rule("a", "tokenize", type="integer", domain="d", subject="b")
    assert (Word.LOSSY, "a") in words(keyed, mine, rule("b", "redact"), domains=(subject,))
    part = msgspec.structs.replace(rule("a", "keep"), path="$.x")
    assert (Word.LOSSY, "a") in words(people(column("a", "jsonb"), key=("a",)), part)


def test_what_may_collide_is_a_warning_with_the_odds() -> None:
    pseudonym = rule("a", "pseudonym", kind="city")
    outputs = Pseudonym(kind="city").outputs
    given = people(column("a"), column("b"), unique=UNIQUE, rows=50)
    (finding,) = found(given, pseudonym, rule("b", "tokenize"))
    assert finding.word is Word.COLLIDING
    # By hand: 1 - exp(-50 * 49 / (2 * 1755)).
    assert outputs == 1755
    assert "with 50 rows and 1,755 possible outputs the odds are 0.5" in finding.problem
    unknown = people(column("a"), column("b"), unique=UNIQUE)
    assert "not known; ANALYZE" in found(unknown, pseudonym, rule("b", "tokenize"))[0].problem


def test_in_a_key_what_may_collide_needs_a_reason_and_still_is_a_warning() -> None:
    keyed = people(column("a"), key=("a",), rows=0)
    pseudonym = rule("a", "pseudonym", kind="city")
    assert words(keyed, pseudonym) == [(Word.LOSSY, "a")]
    assert words(keyed, explained(pseudonym, allow_uniqueness_loss=True)) == [(Word.COLLIDING, "a")]


def test_a_computed_column_that_shows_what_others_hide_is_a_warning() -> None:
    given = people(column("a"), column("b"), column("both", generated=True, inputs=("a", "b")))
    hidden = rule("a", "redact"), rule("b", "keep")
    assert words(given, *hidden, rule("both", "keep")) == [(Word.EXPOSED, "both")]
    assert "made from 'a'," in found(given, *hidden, rule("both", "keep"))[0].problem
    assert words(given, *hidden, rule("both", "redact")) == []
    kept = rule("a", "keep"), rule("b", "keep")
    assert words(given, *kept, rule("both", "keep")) == []


def test_so_is_a_text_search_vector_that_a_trigger_writes() -> None:
    given = people(column("a"), column("n", "integer"), column("words", "tsvector"))
    assert words(given, rule("a", "redact"), rule("n", "redact"), rule("words", "keep")) == [(Word.EXPOSED, "words")]
    assert words(given, rule("a", "keep"), rule("n", "redact"), rule("words", "keep")) == []


def test_a_key_shows_equal_values_of_what_is_hidden_and_no_part_of_them() -> None:
    given = people(column("a"), column("k", generated=True, inputs=("a",)), key=("k",))
    assert words(given, rule("a", "redact"), rule("k", "tokenize")) == []
    assert words(given, rule("a", "redact"), rule("k", "keep")) == [(Word.EXPOSED, "k")]


@pytest.mark.parametrize(
    ("one", "other", "joins"),
    [
        (("tokenize", {"domain": "d"}), ("tokenize", {"domain": "d"}), True),
        (("tokenize", {"domain": "d"}), ("tokenize", {"domain": "e"}), False),
        (("tokenize", {}), ("tokenize", {}), False),
        (("tokenize", {"domain": "d"}), ("encrypt", {"domain": "d"}), False),
        (("encrypt", {"domain": "d"}), ("encrypt", {"domain": "d"}), True),
        (("keep", {}), ("keep", {}), True),
        (("keep", {}), ("tokenize", {"domain": "d"}), False),
        (("redact", {}), ("tokenize", {"domain": "d"}), True),
    ],
)
def test_a_foreign_key_that_no_longer_joins_is_a_warning(
    one: tuple[str, dict[str, str]], other: tuple[str, dict[str, str]], joins: bool
) -> None:
    given = source(table("a", column("x", "uuid")), table("b", column("x", "uuid")), links=(link("b.x", "a.x"),))
    rules = [rule("x", method, table=name, **params) for name, (method, params) in (("a", one), ("b", other))]
    assert words(given, *rules) == ([] if joins else [(Word.UNJOINED, "x")])


def test_columns_of_two_types_join_where_the_domain_says_so() -> None:
    given = source(table("a", column("x", "bigint")), table("b", column("x", "integer")), links=(link("b.x", "a.x"),))
    rules = [rule("x", "tokenize", table=name, domain="d") for name in ("a", "b")]
    assert words(given, *rules) == [(Word.UNJOINED, "x")]
    assert words(given, *rules, domains=(Domain(name="d", type="bigint"),)) == []
