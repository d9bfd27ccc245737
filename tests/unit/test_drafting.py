"""Drafts: a rule for each column that nobody decided on, that hides, joins and keeps apart what it has to."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cdc_masker import engine, methods
from cdc_masker.drafting.findings import Word, check
from cdc_masker.drafting.links import components
from cdc_masker.drafting.proposals import Draft, draft, undecided
from cdc_masker.drafting.tables import ColumnName, Source, TableName, Unique
from cdc_masker.errors import PolicyError
from cdc_masker.kinds import states_few_values
from cdc_masker.methods import Disclosure
from cdc_masker.policies import EMPTY, Domain, EnvelopeShape, Policy, Rule
from tests.unit.building import rule
from tests.unit.sources import column, link, policies, source, sources, table


def drafted(made: Draft) -> dict[ColumnName, Rule]:
    return {ColumnName(each.rule.schema, each.rule.table, each.rule.column): each.rule for each in made.proposals}


def proposed(given_: Source, policy: Policy = EMPTY, **more: Any) -> dict[str, Rule]:
    """The rules of a draft, by table and column."""
    rules = drafted(draft(policy, given_, **more))
    return {f"{name.table}.{name.column}": each for name, each in rules.items()}


def decided(*rules: Rule, domains: tuple[Domain, ...] = ()) -> Policy:
    policy = Policy.of(1, rules=rules, domains=domains)
    engine.check(policy)
    return policy


@given(sources(), st.data())
def test_each_undecided_column_gets_exactly_one_rule_and_the_policy_stays_sound(given_: Source, data: st.DataObject) -> None:
    policy = data.draw(policies(given_))
    try:
        engine.check(policy)
    except PolicyError:
        assume(False)
    made = draft(policy, given_)
    assert [ColumnName(each.rule.schema, each.rule.table, each.rule.column) for each in made.proposals] == undecided(
        policy, given_
    )
    applied = made.applied_to(policy)
    engine.check(applied)
    assert undecided(applied, given_) == []
    assert draft(applied, given_) == Draft(())
    left = check(applied, given_).findings
    assert {
        each for each in left if not each.word.is_warning and ColumnName(*msgspec.structs.astuple(each)[:3]) in drafted(made)
    } == set()


@given(sources())
def test_a_draft_from_nothing_leaves_nothing_to_find_but_joins_that_types_or_few_values_forbid(given_: Source) -> None:
    made = draft(EMPTY, given_)
    report = check(made.applied_to(EMPTY), given_)
    assert report.complete
    assert {each.word for each in report.findings} <= {Word.UNJOINED}


@given(sources())
def test_a_draft_keeps_nothing_and_shows_no_part(given_: Source) -> None:
    told = {Disclosure.NULLS, Disclosure.EQUALITY, Disclosure.LENGTH, Disclosure.REVERSIBLE}
    assert all(methods.build(each).discloses <= told for each in drafted(draft(EMPTY, given_)).values())


@given(sources())
def test_keys_stay_distinct(given_: Source) -> None:
    made = draft(EMPTY, given_)
    domains = {each.name: each for each in made.domains}
    rules = drafted(made)
    for each in given_.tables:
        for name in each.key:
            method, column = methods.build(rules[ColumnName(*each.full_name, name)]), each.column(name)
            assert column is not None
            assert method.keeps_distinct(domains, column.connect)
            assert method.deterministic


@given(sources())
def test_what_is_computed_shows_no_more_than_what_it_is_computed_from(given_: Source) -> None:
    rules = drafted(draft(EMPTY, given_))
    for each in given_.tables:
        for made in each.columns:
            method = methods.build(rules[ColumnName(*each.full_name, made.name)])
            for name in made.inputs:
                assert made.name in each.key or method.no_weaker_than(methods.build(rules[ColumnName(*each.full_name, name)]))


@given(sources())
def test_linked_columns_of_one_type_share_one_domain(given_: Source) -> None:
    rules = drafted(draft(EMPTY, given_))
    columns = {ColumnName(*each.full_name, one.name): one for each in given_.tables for one in each.columns}
    for component in set(components(given_).values()):
        members = [columns[name] for name in component.members]
        if not component.linked or not members or len({each.type for each in members}) > 1:
            continue
        type_ = members[0].connect
        if type_ is None or states_few_values(members[0].type, type_):
            continue
        shared = {(rules[name].method, rules[name].params["domain"]) for name in component.members if rules[name].params}
        assert shared <= {(rules[component.members[0]].method, str(component.name))} or any(each.generated for each in members)
        assert all(rules[name].method != "redact" for name in component.members if not columns[name].generated)


@given(sources())
@settings(max_examples=30)
def test_the_order_of_tables_changes_nothing(given_: Source) -> None:
    tables = random.Random(1).sample(given_.tables, len(given_.tables))
    links = random.Random(2).sample(given_.links, len(given_.links))
    other = draft(EMPTY, Source(server="shop", tables=tuple(tables), links=tuple(links)))
    made = draft(EMPTY, given_)
    assert drafted(other) == drafted(made)
    assert other.domains == made.domains


CUSTOMERS = table("customers", column("id", "integer"), column("email"), column("country", "char(2)"), key=("id",))
ORDERS = table("orders", column("id", "bigint"), column("customer_id", "bigint"), column("country", "char(2)"), key=("id",))
LINKS = (link("orders.customer_id", "customers.id"), link("orders.country", "customers.country"))


def test_columns_of_two_integer_types_join_in_a_domain_declared_with_the_larger() -> None:
    made = draft(EMPTY, source(CUSTOMERS, ORDERS, links=LINKS))
    rules = proposed(source(CUSTOMERS, ORDERS, links=LINKS))
    assert made.domains == (Domain(name="crm.customers.id", type="bigint"),)
    for name in ("customers.id", "orders.customer_id"):
        assert (rules[name].method, rules[name].params) == ("tokenize", {"domain": "crm.customers.id"})
    assert (rules["orders.id"].method, rules["orders.id"].params) == ("tokenize", {})


def test_a_chain_of_foreign_keys_is_one_domain_also_by_way_of_a_table_that_is_not_published() -> None:
    b, c = table("b", column("x", "uuid")), table("c", column("x", "uuid"))
    links = (link("b.x", "a.x"), link("c.x", "a.x"), link("a.x", "root.x"))
    rules = proposed(source(b, c, links=links))
    assert [each.params for each in rules.values()] == [{"domain": "crm.root.x"}] * 2


def test_few_values_get_no_token_but_for_a_key() -> None:
    key = table("lookup", column("code", "char(2)"), key=("code",))
    rules = proposed(source(CUSTOMERS, key, links=(link("customers.country", "lookup.code"),)))
    assert rules["customers.country"].method == "redact"
    assert (rules["lookup.code"].method, rules["lookup.code"].allow_small_domain) == ("tokenize", True)
    assert rules["lookup.code"].reason
    made = draft(EMPTY, source(CUSTOMERS, key, links=(link("customers.country", "lookup.code"),)))
    assert "counting" in made.proposals[2].hints[0]


@pytest.mark.parametrize("type_", ["smallint", "date", "boolean", "bytea", "jsonb", "zoo.address"])
def test_keys_that_no_token_can_be_made_of_are_encrypted(type_: str) -> None:
    rules = proposed(source(table("t", column("k", type_), key=("k",))))
    assert rules["t.k"].method == "encrypt"
    assert (rules["t.k"].reason is not None) == rules["t.k"].allow_small_domain == (type_ in ("smallint", "boolean"))


def test_small_integers_join_larger_ones() -> None:
    one, other = table("a", column("id", "integer"), key=("id",)), table("b", column("a_id", "smallint"))
    rules = proposed(source(one, other, links=(link("b.a_id", "a.id"),)))
    assert {(each.method, each.params["domain"]) for each in rules.values()} == {("encrypt", "crm.a.id")}


def test_partitions_share_the_domain_of_their_table() -> None:
    columns = column("id", "uuid"), column("email"), column("note")
    parts = [table(f"p{n}", *columns, key=("id",), root=TableName("crm", "p")) for n in (1, 2)]
    rules = proposed(source(*parts))
    assert rules["p1.id"].params == rules["p2.id"].params == {"domain": "crm.p.id"}
    assert rules["p1.email"].params == rules["p2.email"].params == {"domain": "crm.p.email"}
    assert rules["p1.note"].method == "redact"


def test_columns_follow_what_is_decided_about_those_they_refer_to() -> None:
    given_ = source(CUSTOMERS, table("orders", column("customer_id", "integer")), links=LINKS[:1])
    about = rule("id", "tokenize", table="customers", type="integer", domain="customer")
    assert proposed(given_, decided(about))["orders.customer_id"].params == {"domain": "customer"}
    encrypted = rule("id", "encrypt", table="customers", domain="customer")
    assert proposed(given_, decided(encrypted))["orders.customer_id"].method == "encrypt"
    hidden = rule("id", "redact", table="customers")
    assert proposed(given_, decided(hidden))["orders.customer_id"].method == "redact"
    by_email = source(CUSTOMERS, table("orders", column("email")), links=(link("orders.email", "customers.email"),))
    assert proposed(by_email, decided(rule("email", "redact", table="customers")))["orders.email"].method == "redact"
    tenant = rule("id", "tokenize", table="customers", type="integer", domain="customer", subject="email")
    per_subject = decided(tenant, domains=(Domain(name="customer", per_subject=True),))
    assert proposed(given_, per_subject)["orders.customer_id"].params == {}
    both = source(
        CUSTOMERS,
        ORDERS,
        table("returns", column("customer_id", "integer")),
        links=(LINKS[0], link("returns.customer_id", "orders.customer_id")),
    )
    apart = [rule(name, "tokenize", table=of, domain=of) for of, name in (("customers", "id"), ("orders", "customer_id"))]
    assert proposed(both, decided(*apart))["returns.customer_id"].method == "redact"
    for other in (rule("id", "keep", table="customers"), rule("id", "tokenize", table="customers")):
        made = draft(decided(other), given_)
        assert made.proposals[-1].rule.method == "redact"
        assert "'crm.customers.id'" in made.proposals[-1].evidence[-1]


def test_a_domain_that_others_use_is_not_declared_anew() -> None:
    given_ = source(CUSTOMERS, ORDERS, links=LINKS)
    about = rule("id", "tokenize", table="customers", type="integer", domain="crm.customers.id")
    made = draft(decided(about), given_)
    rules = {each.rule.column: each for each in made.proposals}
    assert made.domains == ()
    assert rules["customer_id"].rule.method == "redact"
    assert "as that is masked now" in rules["customer_id"].evidence[-1]
    declared = Domain(name="crm.customers.id", type="bigint")
    assert proposed(given_, decided(domains=(declared,)))["orders.customer_id"].params == {"domain": declared.name}
    text = Domain(name="crm.customers.id", type="uuid")
    assert proposed(given_, decided(domains=(text,)))["orders.customer_id"].method == "redact"
    per_subject = Domain(name="crm.customers.id", per_subject=True)
    assert proposed(given_, decided(domains=(per_subject,)))["customers.id"].params == {}


def test_a_unique_index_keeps_apart_what_a_token_can_or_says_that_it_need_not() -> None:
    unique = (Unique(words="unique index 'u'", columns=("card_number", "placed")),)
    rules = proposed(source(table("t", column("card_number"), column("placed", "timestamptz"), unique=unique)))
    assert rules["t.card_number"].method == "tokenize"
    assert (rules["t.placed"].method, rules["t.placed"].allow_uniqueness_loss) == ("redact", True)
    assert rules["t.placed"].reason == "masked rows need not keep the unique index 'u'"


def test_what_is_looked_up_gets_tokens_and_all_else_is_redacted() -> None:
    columns = (
        column("email"),
        column("iban"),
        column("first_name"),
        column("salary", "numeric(10,2)"),
        column("notes"),
        column("x"),
    )
    rules = proposed(source(table("t", *columns)))
    assert {name: each.method for name, each in rules.items() if each.method != "redact"} == {
        "t.email": "tokenize",
        "t.iban": "tokenize",
    }
    assert rules["t.first_name"].classification == "name"
    assert rules["t.salary"].classification is None


def test_a_computed_column_is_redacted_where_one_of_its_inputs_is() -> None:
    made = column("username", generated=True, inputs=("email", "note"))
    assert proposed(source(table("t", column("email"), column("note"), made)))["t.username"].method == "redact"
    made = column("username", generated=True, inputs=("email",))
    given_ = source(table("t", column("email"), made))
    assert proposed(given_)["t.username"].method == "tokenize"
    parts = msgspec.structs.replace(rule("email", "keep", table="t"), path="$.a")
    assert proposed(given_, decided(parts))["t.username"].method == "redact"


def test_the_table_of_signals_needs_no_rules_where_nobody_reads_it() -> None:
    signals = source(table("signals", column("data")))
    for shape in (
        EnvelopeShape(topic="shop.crm.signals", shape="signals"),
        EnvelopeShape(topic="s", shape="signals", schema="crm", table="signals"),
    ):
        policy = Policy.of(1, envelopes=[shape])
        assert undecided(policy, signals) == []
        assert check(policy, signals).columns == 0
    assert len(undecided(Policy.of(1, envelopes=[EnvelopeShape(topic="s", shape="signals")]), signals)) == 1
