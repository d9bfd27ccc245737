"""The path language: what it takes, what it refuses, and which path decides."""

from __future__ import annotations

import pytest

from cdc_masker.errors import PolicyError
from cdc_masker.paths import Decision, Path, State, Step, automaton, parse
from cdc_masker.policies import Policy, Rule

PLACE = "rule crm.people.doc"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("$.a", Path((Step("a"),))),
        ("$.contact.e_mail2", Path((Step("contact"), Step("e_mail2")))),
        ("$.größe", Path((Step("größe"),))),
        ("$['any name']", Path((Step("any name"),))),
        ("$['']", Path((Step(""),))),
        ("$['a.b[*]~'].c", Path((Step("a.b[*]~"), Step("c")))),
        (r"$['it\'s \\ here']", Path((Step("it's \\ here"),))),
        ("$.*", Path((Step(),))),
        ("$[*]", Path((Step(elements=True),))),
        ("$.phones[*].number", Path((Step("phones"), Step(elements=True), Step("number")))),
        ("$..ssn", Path((Step("ssn", deep=True),))),
        ("$..['social security']", Path((Step("social security", deep=True),))),
        ("$.people.*~", Path((Step("people"), Step()), of_names=True)),
        ("$..ssn~", Path((Step("ssn", deep=True),), of_names=True)),
    ],
)
def test_what_a_path_may_be(text: str, path: Path) -> None:
    assert parse(text, PLACE) == path


@pytest.mark.parametrize(
    "text",
    [
        "",
        "$",
        "$~",
        "a",
        ".a",
        "$a",
        "$.",
        "$..",
        "$..*",
        "$..[*]",
        "$.a.",
        "$.a b",
        "$.first-name",
        "$.1st",
        "$[0]",
        "$[1:2]",
        "$[-1]",
        "$['a','b']",
        '$["a"]',
        "$['a",
        "$['a'b']",
        r"$['a\n']",
        "$[?(@.a > 1)]",
        "$.a[*",
        "$[*]~",
        "$.a~.b",
        "$.a~~",
        "$.a ",
        " $.a",
        "$.a\n",
    ],
)
def test_any_other_expression_is_refused_when_the_policy_is_made(text: str) -> None:
    with pytest.raises(PolicyError) as caught:
        Policy.of(1, rules=[Rule(schema="crm", table="people", column="doc", path=text, method="keep")])
    assert caught.value.place == PLACE + text


def test_a_refusal_tells_where_it_stopped_reading_and_what_is_allowed() -> None:
    with pytest.raises(PolicyError, match=r"character 5 on; allowed are \$ and then \.name, \['any name'\]"):
        parse("$.ab[0]", PLACE)


def states(*texts: str, keep: tuple[str, ...] = (), keep_rest: bool = False) -> tuple[State, ...]:
    decisions = [Decision(parse(text, PLACE), text in keep, f"rule {text}") for text in texts]
    return automaton(decisions, keep_rest)


def walk(states: tuple[State, ...], *way: str | None) -> State:
    """The state that a way of names, and None for an element, ends in. What is below a closed state is as that state."""
    state = states[0]
    for step in way:
        if not state.goes_on:
            break
        index = state.elements if step is None else state.names.get(step, state.others)
        assert index is not None
        state = states[index]
    return state


@pytest.mark.parametrize(
    ("paths", "way", "winner"),
    [
        (("$.a", "$.*"), ("a",), "$.a"),
        (("$.a", "$.*"), ("b",), "$.*"),
        (("$.*", "$..a"), ("a",), "$.*"),
        (("$.*", "$..a"), ("b", "a"), "$.*"),
        (("$.a.b", "$..b"), ("a", "b"), "$.a.b"),
        (("$.a.b", "$..b"), ("c", "b"), "$..b"),
        (("$.a[*]", "$.a"), ("a", None), "$.a[*]"),
        (("$..a", "$..b.a"), ("b", "a"), "$..b.a"),
        (("$..c", "$..a.*.c"), ("a", "x", "c"), "$..a.*.c"),
        (("$..a..b", "$.a..b"), ("a", "x", "b"), "$.a..b"),
        (("$..a..b", "$.a..b"), ("x", "a", "b"), "$..a..b"),
        (("$..a..b", "$..b"), ("a", "b"), "$..a..b"),
        (("$.a.*", "$.*.b", "$.a.b"), ("a", "b"), "$.a.b"),
        (("$[*].a", "$[*].*"), (None, "a"), "$[*].a"),
    ],
)
def test_the_more_specific_path_decides_in_whatever_order_they_stand(
    paths: tuple[str, ...], way: tuple[str | None, ...], winner: str
) -> None:
    for order in (paths, paths[::-1]):
        assert walk(states(*order), *way).rule == order.index(winner)


@pytest.mark.parametrize(
    ("one", "other", "witness"),
    [
        ("$.a", "$['a']", "$.a"),
        ("$.a.*", "$.*.b", "$.a.b"),
        ("$.a..c", "$..b.c", "$.a.b.c"),
        ("$..a[*]", "$..['a'][*]", "$.a[*]"),
        ("$['x y'].*", "$.*.z", "$['x y'].z"),
        ("$.a~", "$['a']~", "$.a~"),
    ],
)
def test_a_tie_is_refused_with_a_place_that_both_name(one: str, other: str, witness: str) -> None:
    with pytest.raises(PolicyError) as caught:
        states(one, other)
    assert {caught.value.place, caught.value.problem.partition(" is about ")[0]} == {f"rule {one}", f"rule {other}"}
    assert f" is about {witness}, too" in caught.value.problem


@pytest.mark.parametrize(("one", "other"), [("$.a.*", "$[*].b"), ("$.a", "$.a~"), ("$.a", "$.b"), ("$.a[*]", "$.a.*")])
def test_paths_that_never_meet_do_not_tie(one: str, other: str) -> None:
    assert states(one, other)


def test_keeping_holds_below_until_another_path_names_a_place() -> None:
    made = states("$.a", "$..ssn", keep=("$.a",))
    assert walk(made, "a", "x", None).kept
    assert walk(made, "a", "x", "ssn").rule == 1
    assert not walk(made, "b").named


def test_below_what_is_masked_only_more_specific_paths_go_on() -> None:
    made = states("$.a", "$..x", "$.a.b", keep=("$..x", "$.a.b"))
    assert walk(made, "a").rule == 0
    assert walk(made, "a", "b").kept
    assert not walk(made, "a", "x").kept
    assert walk(made, "c", "x").kept


def test_a_path_for_names_says_nothing_about_values() -> None:
    state = walk(states("$.people.*~"), "people", "ana")
    assert (state.name_rule, state.rule, state.kept, state.led) == (0, None, False, True)


def test_names_come_through_where_they_are_written_out_or_kept() -> None:
    made = states("$.a.*", "$..x", "$.b", keep=("$.b",))
    assert walk(made, "a").name_kept
    assert not walk(made, "a", "c").name_kept
    assert not walk(made, "c").name_kept
    assert walk(made, "c", "x").name_kept
    assert walk(made, "b", "c").name_kept


def test_paths_that_would_need_too_many_states_are_refused() -> None:
    with pytest.raises(PolicyError, match="too entangled"):
        states("$..a" + ".*" * 12)
    assert len(states("$" + ".*" * 50)) < 60
