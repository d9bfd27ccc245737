"""Which policy version may mask in the place of another one."""

from __future__ import annotations

from cdc_masker.policies import Policy, Rule
from cdc_masker.replay.weaker import Released, unexplained


def released(*methods: tuple[str, str | None]) -> list[Released]:
    """Versions in which the e-mail address is masked so, each with the reason to mask less that it carries."""
    rules = ([Rule(schema="crm", table="people", column="email", method=method)] if method else [] for method, _ in methods)
    return [Released(Policy.of(number + 1, rules=each), methods[number][1]) for number, each in enumerate(rules)]


def places(old: int, new: int, releases: list[Released]) -> list[tuple[str, str]]:
    return [(each.before, each.after) for each in unexplained(old, new, releases)]


def test_what_shows_no_more_may_be_used() -> None:
    releases = released(("tokenize", None), ("null", None))
    assert places(1, 2, releases) == []
    assert places(2, 2, releases) == []


def test_a_version_before_may_not_show_more() -> None:
    releases = released(("keep", None), ("null", None))
    assert places(2, 1, releases) == [("null()", "keep()")]


def test_a_version_before_may_not_show_more_even_if_it_once_had_a_reason() -> None:
    releases = released(("null", None), ("keep", "asked for"), ("null", None))
    assert places(3, 2, releases) == [("null()", "keep()")]


def test_a_later_version_may_show_more_for_the_reasons_that_were_given() -> None:
    releases = released(("null", None), ("tokenize", "joins"), ("keep", "asked for"))
    assert places(1, 3, releases) == []


def test_a_step_without_a_reason_is_told() -> None:
    """The catalog takes no such release; if one is there, it is not a way around."""
    releases = released(("null", None), ("tokenize", "joins"), ("keep", None))
    assert places(1, 3, releases) == [("tokenize()", "keep()")]


def test_the_first_version_of_all_needs_no_reason() -> None:
    assert places(0, 1, released(("keep", None))) == []


def test_a_version_that_decides_again_after_nothing_was_decided_does() -> None:
    assert places(1, 3, released(("null", None), ("", None), ("keep", None))) == [("undecided (redact)", "keep()")]
