"""Changes and the policy that follows from them; no server takes part."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_masker.catalog.changes import (
    AllowHeader,
    Change,
    Decide,
    Declare,
    Default,
    ForbidHeader,
    Forget,
    ForgetTopic,
    Shape,
    UseKeyEpoch,
    parse_table,
    replay,
)
from cdc_masker.errors import PolicyError
from cdc_masker.lookup import Lookup, Table
from cdc_masker.policies import EMPTY, Domain, EnvelopeShape, Rule, TableDefault

RULE = Rule(schema="crm", table="customers", column="email", method="redact")


@pytest.mark.parametrize(
    ("name", "parsed"),
    [
        ("crm.customers", ("crm", "customers")),
        ('"Crm"."Type Zoo"', ("Crm", "Type Zoo")),
        ('crm."a.b"', ("crm", "a.b")),
        ('"say ""hi"""._x$1', ('say "hi"', "_x$1")),
        ("über.größe", ("über", "größe")),
        (("Any", "thing at all"), ("Any", "thing at all")),
    ],
)
def test_table_names_are_read_as_in_sql(name: str | tuple[str, str], parsed: tuple[str, str]) -> None:
    assert parse_table(name) == parsed


@pytest.mark.parametrize("name", ["customers", "a.b.c", "crm.", "", '"crm.customers', "1a.b", "a b.c", 'a."b', '""."x"'])
def test_what_is_no_table_name_is_refused(name: str) -> None:
    with pytest.raises(PolicyError, match=r"write schema\.table"):
        parse_table(name)


def test_capitals_need_quotes() -> None:
    with pytest.raises(PolicyError, match="double quotes"):
        parse_table("Crm.customers")


@given(st.tuples(st.text(min_size=1), st.text(min_size=1)))
def test_any_name_can_be_quoted(names: tuple[str, str]) -> None:
    quoted = ".".join('"' + name.replace('"', '""') + '"' for name in names)
    assert parse_table(quoted) == names


def test_a_default_of_one_server_holds_beside_another_of_any() -> None:
    any_server = TableDefault(schema="crm", table="customers", default="quarantine")
    of_shop = TableDefault(server="shop", schema="crm", table="customers", default="redact")
    policy = replay([Default(any_server), Default(of_shop)])
    lookup = Lookup(policy)
    assert [lookup.default(Table(server, "crm", "customers", "")) for server in ("shop", "other")] == ["redact", "quarantine"]
    back = TableDefault(schema="crm", table="customers", default="redact")
    assert replay([Default(any_server), Default(of_shop), Default(back)]) == replay([])


def test_nothing_said_decides_nothing() -> None:
    assert replay([]) == EMPTY


def test_the_last_word_holds() -> None:
    kept = Rule(schema="crm", table="customers", column="email", method="keep", reason="published anyway")
    assert replay([Decide(RULE), Decide(kept)]).rules == (kept,)
    folding = Domain(name="d", fold_case=True)
    assert replay([Declare(Domain(name="d")), Declare(folding)]).domains == (folding,)


def test_the_last_word_about_a_topic_holds() -> None:
    flattened = EnvelopeShape(topic="t", shape="flattened", schema="crm", table="customers")
    said = [Shape(EnvelopeShape(topic="t", shape="debezium")), Shape(flattened)]
    assert replay(said).envelopes == (flattened,)
    assert replay([*said, ForgetTopic("t")]) == EMPTY
    with pytest.raises(PolicyError, match="forget_topic t"):
        replay([ForgetTopic("t")])


def test_what_is_taken_away_was_there() -> None:
    assert replay([Decide(RULE), Forget(RULE.target), AllowHeader("h"), ForbidHeader("h")]) == EMPTY
    with pytest.raises(PolicyError, match=r"forget_column crm\.customers\.email: no rule"):
        replay([Forget(RULE.target)])
    with pytest.raises(PolicyError, match="forbid_header h"):
        replay([ForbidHeader("h")])


def test_an_epoch_holds_until_another_one_is_used() -> None:
    assert replay([UseKeyEpoch(2), Decide(RULE)]).key_epoch == 2
    assert replay([UseKeyEpoch(2), UseKeyEpoch(1)]) == EMPTY  # a version for the generations that began under it
    for said in ([UseKeyEpoch(1)], [UseKeyEpoch(2), UseKeyEpoch(2)]):
        with pytest.raises(PolicyError, match=r"use_key_epoch \d: this epoch is in force already"):
            replay(said)


INDEPENDENT: list[Change] = [Decide(RULE), Declare(Domain(name="d")), AllowHeader("h"), UseKeyEpoch(2)]


@given(st.permutations(INDEPENDENT))
def test_the_digest_does_not_depend_on_the_order_of_independent_changes(changes: list[Change]) -> None:
    assert replay(changes).digest == replay(INDEPENDENT).digest
