"""What a replay would be, as far as no server has to be asked: topics, offsets, what is refused, and what is told of it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_masker.cli.replayed import tell_plan
from cdc_masker.errors import PolicyError, SetupError
from cdc_masker.kafka.wire import Topic
from cdc_masker.methods import METHODS
from cdc_masker.policies import Policy, Rule
from cdc_masker.ports import Stretch
from cdc_masker.replay.planning import Incomplete, Plan, chosen, expired, refuse_weaker, span
from cdc_masker.replay.sampling import Sample
from cdc_masker.replay.weaker import Released
from cdc_masker.settings import load

SETTINGS = load(source_topics=r"shop\..*")
NAMES = ("shop.crm.people", "shop.crm.orders", "shop_crm.people", "shop.crmxpeople", "masked.shop.crm.people")
FOUND = {name: Topic(name, f"id of {name}", 2) for name in NAMES}

offsets = st.integers(0, 50)


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ((), ["shop.crm.orders", "shop.crm.people", "shop.crmxpeople"]),
        (("shop.crm.people",), ["shop.crm.people"]),
        ((r"shop\.crm\..*",), ["shop.crm.orders", "shop.crm.people"]),
        (("shop.crm.people", ".*orders|nothing"), ["shop.crm.orders", "shop.crm.people"]),
    ],
)
def test_topics_are_chosen_by_name_or_pattern_among_the_sources(wanted: tuple[str, ...], names: list[str]) -> None:
    topics, pattern = chosen(SETTINGS, FOUND, wanted)
    assert [*topics] == names
    assert [*chosen(SETTINGS, FOUND, (pattern,))[0]] == names, "the pattern that is kept names others"


@pytest.mark.parametrize("wanted", ["shop.crm.gone", "masked.shop.crm.people", "shop_crm.people", "[", "(?i)shop.*", "crm"])
def test_what_names_no_source_is_refused(wanted: str) -> None:
    with pytest.raises(SetupError, match=r"correct one of them|regular expression"):
        chosen(SETTINGS, FOUND, ("shop.crm.people", wanted))


@given(offsets, offsets, offsets, offsets)
def test_a_span_is_what_there_is_of_what_is_wanted(one: int, other: int, start: int, stop: int) -> None:
    first, end = sorted((one, other))
    begin, until = span(first, end, start, stop)
    assert first <= begin <= until <= end
    assert [*range(begin, until)] == [offset for offset in range(first, end) if start <= offset < stop]


def test_records_that_were_asked_for_and_are_gone_are_told() -> None:
    assert not expired(0, 0, by_time=False)
    assert expired(7, 0, by_time=False)
    assert not expired(7, 7, by_time=False)
    assert expired(7, 7, by_time=True), "the ones before may have been of that time, too"
    assert not expired(7, 8, by_time=True)
    assert not expired(0, 0, by_time=True)


def test_a_weaker_version_is_refused_with_what_would_be_weaker_and_the_remedy() -> None:
    rules = ([Rule(schema="crm", table="people", column="email", method=method)] for method in ("keep", "null"))
    releases = [Released(Policy.of(number, rules=each), None) for number, each in enumerate(rules, 1)]
    refuse_weaker(2, [1, 2], releases, METHODS)
    with pytest.raises(
        PolicyError, match=r"shows more than version 2.*crm.people.email was null\(\), would be keep\(\).*allow_weaker"
    ):
        refuse_weaker(1, [2], releases, METHODS)


def planned(*stretches: Stretch, pace: float = 100.0) -> Plan:
    return Plan(
        policy=Policy.of(3),
        stays=True,
        pattern=".*",
        stretches=stretches,
        incomplete=(Incomplete("shop.crm.people", 1, 40),),
        sample=Sample(10, 2000, ("crm.people",), pace),
    )


def test_a_plan_tells_records_bytes_and_the_least_time(capsys: pytest.CaptureFixture[str]) -> None:
    plan = planned(
        Stretch("shop.crm.people", 0, "a", 0, 300), Stretch("shop.crm.people", 1, "a", 40, 740), Stretch("t", 0, "b", 5, 5)
    )
    assert (plan.records, plan.bytes) == (1000, 200_000)
    assert plan.seconds(1) == 10
    assert plan.seconds(4) == 5, "two partitions have something to mask"
    assert plan.seconds(0) is None
    assert planned(pace=0.0).seconds(1) is None
    tell_plan(plan, 1, None, as_json=False)
    told = capsys.readouterr().out
    assert "shop.crm.people: 2 partitions, 1,000 records at most" in told
    assert "INCOMPLETE shop.crm.people[1]: records before offset 40 expired" in told
    assert "about 200.0 kB" in told
    assert "at least 0:00:10 with 1 workers here" in told
    tell_plan(plan, 1, None, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert document["incomplete"] == [{"topic": "shop.crm.people", "partition": 1, "offset": 40}]
    assert document["partitions"][1]["end"] == 740
