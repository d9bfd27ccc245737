"""What the rounds of a comparison say together: medians, ranges, ratios, the JSON document and the table. Only computes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

__all__ = ["RATIOS", "document", "events_that_fit", "ratios", "table"]

RATIOS = {
    "one_worker_vs_kafka_streams": "one worker, times Kafka Streams' events a second",
    "two_workers_vs_kafka_streams": "two workers, times Kafka Streams' events a second",
    "faust_vs_loop": "one worker, times the events a second of the same loop without Faust",
    "audit_cost": "share of a worker's processor time that the evidence for the audit takes",
    "guard_cost": "share of a worker's processor time that the egress guard takes",
}
"""What each ratio of the document says."""

_LEAST, _MOST = 1_000_000, 2_000_000  # of fewer, two workers are done before both are there
_STEP = 50_000


def ratios(
    rates: Mapping[str, Sequence[float]], worker_us: Sequence[float], shares: Sequence[Mapping[str, float]]
) -> dict[str, float]:
    """The five ratios, or those that these programs allow. `rates` has each program's events a second, round by round;
    `worker_us` processor microseconds of one worker for an event, and `shares` those of evidence and guard in the core.
    """
    middle = {program: median(each) for program, each in rates.items() if each}
    found: dict[str, float] = {}

    def put(name: str, above: str, below: str) -> None:
        if above in middle and below in middle:
            found[name] = round(middle[above] / middle[below], 4)

    put("one_worker_vs_kafka_streams", "worker", "streams")
    put("two_workers_vs_kafka_streams", "workers", "streams")
    put("faust_vs_loop", "worker", "loop")
    if worker_us and shares:
        for name, share in (("audit_cost", "evidence_us"), ("guard_cost", "guard_us")):
            found[name] = round(median([each[share] for each in shares]) / median(worker_us), 4)
    return found


def document(
    about: Mapping[str, Any], rounds: Sequence[Sequence[Mapping[str, Any]]], shares: Sequence[Mapping[str, float]]
) -> dict[str, Any]:
    """The whole result as JSON: `about` the machine, each figure of each round, and what evidence and guard cost in the core.
    Ratios are there of whole runs, of their second halves, and of events in a second of the program's own processor time.
    """
    rates, later_rates = _by_program(rounds, "rate"), _by_program(rounds, "later_rate")
    cpu_us: dict[str, list[float]] = defaultdict(list)
    for figures in rounds:
        for figure in figures:
            cpu_us[figure["program"]].append(_cpu_us(figure, "program"))
    cpu_rates = {program: [1e6 / us for us in each if us > 0] for program, each in cpu_us.items()}
    worker_us = cpu_us["worker"]
    return {
        "format": 1,
        **about,
        "ratios": ratios(rates, worker_us, shares),
        "later_ratios": ratios(later_rates, worker_us, shares),
        "cpu_ratios": ratios(cpu_rates, worker_us, shares),
        "programs": {program: _summary(program, rounds) for program in rates},
        "shares": list(shares),
        "rounds": [list(each) for each in rounds],
    }


def table(document: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    """The table of a document, in Markdown, with its ratios."""
    lines = [
        "| program | events | events/s, median | lowest to highest | second half | CPU µs an event | broker | PostgreSQL |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for program, each in document["programs"].items():
        costs = " | ".join(f"{each['cpu_us'][name]:.1f}" for name in ("program", "kafka", "postgres"))
        extent = f"{each['lowest']:,.0f} to {each['highest']:,.0f}"
        rates = f"{each['events']:,} | {each['median']:,.0f} | {extent} | {each['later_median']:,.0f}"
        lines.append(f"| {titles.get(program, program)} | {rates} | {costs} |")
    lines += ["", "| ratio | | second half | by CPU | what it says |", "| --- | ---: | ---: | ---: | --- |"]
    for name, value in document["ratios"].items():
        others = f"{document['later_ratios'][name]:.3f} | {document['cpu_ratios'][name]:.3f}"
        lines.append(f"| `{name}` | {value:.3f} | {others} | {RATIOS[name]} |")
    return "\n".join(lines)


def events_that_fit(rehearsed: Iterable[tuple[float, float, bool]], rounds: int, seconds: float) -> int:
    """How many events all rounds have time for. `rehearsed` has for each program its events a second, the seconds that a run
    takes beside, and whether its number of events is fixed; then these seconds are all that it takes.
    """
    fixed = each_event = 0.0
    for rate, beside, is_fixed in rehearsed:
        fixed += beside
        each_event += 0 if is_fixed else 1 / rate + 1 / _CHECKED_A_SECOND
    fitting = (seconds - rounds * fixed) / (rounds * each_event + 1 / _LOADED_A_SECOND)
    return max(_LEAST, min(_MOST, int(fitting) // _STEP * _STEP))


_CHECKED_A_SECOND = 100_000
_LOADED_A_SECOND = 40_000


def _by_program(rounds: Sequence[Sequence[Mapping[str, Any]]], name: str) -> dict[str, list[float]]:
    found: dict[str, list[float]] = defaultdict(list)
    for figures in rounds:
        for figure in figures:
            found[figure["program"]].append(figure[name])
    return dict(found)


def _summary(program: str, rounds: Sequence[Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    own = [figure for figures in rounds for figure in figures if figure["program"] == program]
    rates = [figure["rate"] for figure in own]
    return {
        "events": own[0]["events"],
        "median": round(median(rates), 1),
        "lowest": round(min(rates), 1),
        "highest": round(max(rates), 1),
        "later_median": round(median(figure["later_rate"] for figure in own), 1),
        "cpu_us": {name: round(median(_cpu_us(figure, name) for figure in own), 2) for name in own[0]["cpu"]},
    }


def _cpu_us(figure: Mapping[str, Any], name: str) -> float:
    us: float = figure["cpu"][name] / figure["timed"] * 1e6
    return us
