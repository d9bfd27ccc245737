"""The benchmarks measure what they say: all methods, values that they really mask, and the whole evidence of the audit. A
comparison fails on a program that does not do its work, and its figures are what the rounds give.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from benchmarks import live, shapes
from benchmarks.audit import batch, proven
from benchmarks.checking import Checker, Wrong
from benchmarks.events import BYTES, FIRST_MS, Customer, event, number_of
from benchmarks.figures import RATIOS, document, events_that_fit, ratios, table
from benchmarks.measuring import Figure
from benchmarks.methods import CASES, NEEDS_MORE, masking
from benchmarks.observing import Sample, Stuck, between
from benchmarks.page import with_table
from benchmarks.peers.loop import Reader
from benchmarks.peers.masking import masked
from benchmarks.policy import CUSTOMERS, operations
from benchmarks.policy import masker as masker_of
from benchmarks.profiling import part_of, shown
from benchmarks.programs import PROGRAMS
from benchmarks.shapes import TABLES
from benchmarks.shares import shares
from benchmarks.sizing import Plan, costs_of, needs
from cdc_masker.events import Record
from cdc_masker.methods import METHODS
from cdc_masker.policies import EMPTY
from tests.unit.building import masker


def test_every_method_is_measured() -> None:
    assert {*CASES, *NEEDS_MORE} == set(METHODS)


@pytest.mark.parametrize("name", CASES)
def test_what_is_measured_is_masking(name: str) -> None:
    assert not masking(name, CASES[name])()


def test_what_is_audited_is_all_that_was_masked() -> None:
    mask = masker().mask
    outcomes = [mask(record) for record in batch("shop.jsonl")]
    assert all(outcome.published and outcome.treatments for outcome in outcomes)
    changed = [*outcomes[:-1], replace(outcomes[-1], value=b"")]
    assert proven(outcomes, EMPTY) != proven(changed, EMPTY)


# Events


@pytest.mark.parametrize("number", [0, 9, 10_000, 1_234_567, 9_999_999])
def test_an_event_has_its_size_and_each_personal_value_once(number: int) -> None:
    key, value = event(number)
    assert len(value) == BYTES and number_of(key) == number and event(number) == (key, value)
    row = orjson.loads(value)["after"]
    assert Customer.of(number).values == tuple(
        row[each].encode() for each in ("email", "full_name", "phone", "ssn", "card_number")
    )
    assert [value.count(raw) for raw in Customer.of(number).values] == [1] * 5


def test_no_two_events_have_a_personal_value_in_common() -> None:
    values = [raw for number in range(0, 2_000_000, 997) for raw in Customer.of(number).values]
    assert len(set(values)) == len(values)


def test_a_revision_says_what_the_document_says() -> None:
    said: list[dict[str, Any]] = []
    known = ("type", "method", "reason", "classification")

    class Operations:
        def declare_domain(self, name: str, **more: str) -> None:
            said.append({"name": name, **more})

        def keep_column(self, table: str, column: str, **more: str) -> None:
            self.mask_column(table, column, method="keep", **more)

        def mask_column(self, table: str, column: str, **more: str) -> None:
            schema, name = table.split(".")
            own: dict[str, Any] = {each: more.pop(each) for each in known if each in more}
            said.append({"schema": schema, "table": name, "column": column, **own, **({"params": more} if more else {})})

    for operation in operations(CUSTOMERS):
        exec(operation, {"op": Operations()})
    assert said == [*CUSTOMERS["domains"], *CUSTOMERS["rules"]]


# What a program wrote


def ours(number: int) -> tuple[bytes, bytes]:
    outcome = _MASKER.mask(Record("shop.crm.customers", 0, number, FIRST_MS, *event(number)))
    assert outcome.key is not None and outcome.value is not None
    return outcome.key, outcome.value


def theirs(number: int) -> tuple[bytes, bytes]:
    key, value = event(number)
    return key, masked(value)


_MASKER = masker_of(CUSTOMERS)


def checked(rows: list[tuple[bytes, bytes | None]], count: int, *, masked: bool = True) -> Checker:
    checker = Checker(count, masked, {0: (3, count)})
    for offset, (key, value) in enumerate(rows):
        checker.take(0, offset, key, value)
    checker.finish()
    return checker


@pytest.mark.parametrize("made", [ours, theirs])
def test_what_is_masked_passes_and_is_counted(made: Any) -> None:
    assert checked([made(number) for number in range(200)], 200).before == {0: [3, 200]}


def test_what_is_copied_passes_only_as_a_copy() -> None:
    rows: list[tuple[bytes, bytes | None]] = [event(number) for number in range(10)]
    checked(rows, 10, masked=False)
    with pytest.raises(Wrong, match="event 0 is not masked"):
        checked(rows, 10)


def test_each_column_that_is_left_is_found() -> None:
    key, value = theirs(1)
    for raw in Customer.of(1).values:
        with pytest.raises(Wrong, match="event 1 is not masked"):
            checked([theirs(0), (key, value.replace(b'"***"', b'"%s"' % raw))], 2)


def broken(change: str) -> list[tuple[bytes, bytes | None]]:
    rows: list[tuple[bytes, bytes | None]] = [ours(number) for number in range(4)]
    key, value = ours(0)
    match change:
        case "twice":
            rows[3] = rows[2]
        case "missing":
            del rows[3]
        case "another":
            rows[3] = (b'{"id":4}', rows[3][1])
        case "no event":
            rows[3] = (b"", rows[3][1])
        case "no value":
            rows[3] = (rows[3][0], None)
        case "changed":
            rows[0] = (key, value.replace(b'"tier":"', b'"tier":"x'))
        case "no tokens":
            event = orjson.loads(value)
            event["after"]["email"] = None
            rows[0] = (key, orjson.dumps(event))
    return rows


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("twice", "event 2 is there twice"),
        ("missing", "1 of 4 events are missing"),
        ("another", "no event has that number"),
        ("no event", "the key is not that of an event"),
        ("no value", "event 3 has no value"),
        ("changed", "event 0 is changed where it should not be"),
        ("no tokens", "event 0 has no tokens"),
    ],
)
def test_what_is_wrong_is_found(change: str, found: str) -> None:
    with pytest.raises(Wrong, match=found):
        checked(broken(change), 4)


# Figures


def sample(seconds: float, *ends: int, used: float = 0.0) -> Sample:
    return Sample(seconds, ends, {"program": used})


def test_a_run_is_timed_from_when_every_partition_moves_to_the_last_record() -> None:
    samples = [
        sample(1, 50, 10),
        sample(1.5, 70, 10),
        sample(2, 80, 20, used=1),
        sample(3, 160, 40),
        sample(5, 300, 200, used=3),
    ]
    first, half, last = between(samples)
    assert (first, half, last) == (samples[2], samples[3], samples[4])
    figure = Figure.of("worker", 490, (first, half, last), (100, 190))
    assert (figure.timed, figure.seconds, figure.rate, figure.later_rate) == (390, 3, 130, 150)
    assert figure.cpu == {"program": 2}


@pytest.mark.parametrize(
    "ends", [[(50, 50), (100, 100)], [(50, 50), (60, 50), (100, 50), (110, 50)], [(50, 50), (60, 60), (99, 99)]]
)
def test_a_run_that_was_over_too_soon_gives_no_figure(ends: list[tuple[int, int]]) -> None:
    with pytest.raises(Stuck, match="take more events"):
        between([sample(seconds, *each) for seconds, each in enumerate(ends)])


def figure(program: str, rate: float) -> dict[str, Any]:
    cpu = {"program": 2.0, "kafka": 1.0, "postgres": 0.5}
    return Figure(program=program, events=1000, timed=1000, seconds=1.0, rate=rate, later_rate=2 * rate, cpu=cpu).document()


ROUNDS = [
    [
        figure("worker", worker),
        figure("workers", 150),
        figure("streams", streams),
        figure("loop", 100),
    ]
    for worker, streams in ((80, 100), (90, 120), (10, 50))
]
SHARES = [{"core_us": 300.0, "evidence_us": 20.0, "guard_us": 30.0}]
ABOUT: dict[str, Any] = {
    "commit": "abc",
    "core": "auto",
    "machine": {"cores": 2, "cpu": "a processor", "memory_gib": 8, "system": "Linux", "load_before": [0.1, 0.1, 0.1]},
    "versions": {"python": "3.11"},
    "events": {"count": 1000, "bytes": BYTES, "partitions": 4},
}


def test_ratios_are_of_medians() -> None:
    made = document(ABOUT, ROUNDS, [{"core_us": 300, "evidence_us": each, "guard_us": 2 * each} for each in (30, 10, 20)])
    assert made["ratios"] == {
        "one_worker_vs_kafka_streams": 0.8,
        "two_workers_vs_kafka_streams": 1.5,
        "faust_vs_loop": 0.8,
        "audit_cost": 0.01,  # of the worker's 2,000 µs
        "guard_cost": 0.02,
    }
    assert set(made["ratios"]) == set(RATIOS) == set(made["later_ratios"]) == set(made["cpu_ratios"])
    assert made["cpu_ratios"]["faust_vs_loop"] == 1
    assert orjson.loads(orjson.dumps(made)) == made


def test_a_ratio_needs_both_of_its_programs() -> None:
    assert ratios({"worker": [1.0], "loop": [2.0]}, [], []) == {"faust_vs_loop": 0.5}


def test_the_document_has_each_round_and_the_table_each_program() -> None:
    made = document(ABOUT, ROUNDS, SHARES)
    assert made["rounds"] == ROUNDS
    worker = made["programs"]["worker"]
    assert (worker["median"], worker["lowest"], worker["highest"], worker["later_median"]) == (80, 10, 90, 160)
    assert worker["cpu_us"] == {"program": 2000, "kafka": 1000, "postgres": 500}
    shown = table(made, {"worker": "one worker"})
    assert "| one worker | 1,000 | 80 | 10 to 90 | 160 | 2000.0 | 1000.0 | 500.0 |" in shown
    assert "| `two_workers_vs_kafka_streams` | 1.500 | 1.500 | 1.000 |" in shown


def test_the_page_has_the_last_table_only() -> None:
    page = "above\n<!-- the last comparison -->\nold\n<!-- its end -->\nbelow\n"
    once = with_table(page, document(ABOUT, ROUNDS, SHARES))
    assert once.startswith("above\n") and once.endswith("below\n") and "old" not in once and "Commit abc" in once
    assert with_table(once, document(ABOUT, ROUNDS, SHARES)) == once
    busy = {**ABOUT, "machine": {**ABOUT["machine"], "load_before": [3.0, 0.1, 0.1]}}
    assert "had other work" not in once and "had other work" in with_table(page, document(busy, ROUNDS, SHARES))
    with pytest.raises(ValueError, match="has no"):
        with_table("nothing", document(ABOUT, ROUNDS, []))


def test_events_are_as_many_as_there_is_time_for() -> None:
    slow, fast = [(5_000.0, 20.0, False)] * 4, [(90_000.0, 20.0, False)] * 4
    assert events_that_fit(slow, 3, 100) == 1_000_000
    assert events_that_fit(slow, 3, 1000) < events_that_fit(fast, 3, 1000) <= events_that_fit(fast, 3, 9000) == 2_000_000
    count = events_that_fit(fast, 3, 700)
    assert 600 < 3 * (4 * 20 + 4 * count / 90_000 + 4 * count / 100_000) + count / 40_000 < 700  # checking and loading, too
    assert events_that_fit([*fast, (100.0, 60.0, True)], 3, 700) < count


# What programs are made of


def test_every_ratio_has_its_programs() -> None:
    figures = [[figure(name, 1.0) for name in PROGRAMS]]
    assert set(document(ABOUT, figures, SHARES)["ratios"]) == set(RATIOS)


def test_the_loop_without_faust_reads_as_the_worker_does() -> None:
    for name in ("_batches", "_take", "_batch", "_failed", "_create_consumer", "go_on_at"):
        assert name not in vars(Reader) and callable(getattr(Reader, name))


def test_audit_and_guard_take_their_shares() -> None:
    measured = shares(records=50, rounds=20)  # fewer, and a busy machine decides
    assert 0 < measured.evidence_us < measured.core_us / 2
    assert measured.guard_us < measured.core_us / 2


# Sizing


def test_needs_follow_from_costs() -> None:
    plan = Plan(events=100_000, event_bytes=1000, worker_us=25, broker_us=10, worker_rate=30_000, load=0.5, entry_records=1000)
    found = needs(plan)
    assert (found.workers, found.partitions) == (7, 14)  # 15,000 events/s of each
    assert found.broker_cores_used == 3 and found.brokers == 3
    assert found.broker_mb_written == 600 and found.rows_a_second == 100
    assert needs(replace(plan, worker_us=100)).workers == 20  # its processor is what holds it back
    assert needs(replace(plan, events=200_000)).broker_mb_written == 1200
    assert needs(replace(plan, broker_mb=100)).brokers == 12


@pytest.mark.parametrize("wrong", [{"worker_us": 0}, {"load": 1.5}, {"events": -1}])
def test_costs_that_are_none_are_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="more than 0"):
        needs(replace(Plan(worker_us=25, broker_us=10, worker_rate=30_000), **wrong))


def test_costs_come_from_the_last_comparison() -> None:
    costs = costs_of(document(ABOUT, ROUNDS, SHARES))
    assert (costs["worker_us"], costs["broker_us"], costs["worker_rate"], costs["event_bytes"]) == (2000, 1000, 80, BYTES)
    assert costs["row_us"] == 500 * 4200


# Costs in memory


@pytest.mark.parametrize("name", [name for name in TABLES if name != "rules"])
def test_each_table_measures_events_that_are_masked(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def once(cases: Any, rounds: int = 1) -> dict[str, float]:
        asked.extend(cases.values())
        return dict.fromkeys(cases, 2.0)

    monkeypatch.setattr(shapes, "costs", once)
    heading, line, *rows = TABLES[name]()
    assert {row.count("|") for row in rows} == {heading.count("|")} == {line.count("|")}
    for measured, records in asked:
        batch = measured.mask_batch(records)
        assert len(batch.rows) == len(records) and not batch.misfits
        assert all(row[2] != record.value for row, record in zip(batch.rows, records, strict=True))


def test_a_cost_is_of_one_event() -> None:
    cases = {"one": (_MASKER, [Record("shop.crm.customers", 0, number, FIRST_MS, *event(number)) for number in range(20)])}
    assert 1 < shapes.costs(cases, rounds=1)["one"] < 10_000


# Latency


def test_an_event_carries_the_time_at_which_it_was_sent() -> None:
    key, value = live._stamped(event(7), b"1795242099999")
    assert key == event(7)[0] and len(value) == BYTES and live._stamp_of(value) == 1_795_242_099_999
    assert orjson.loads(value)["ts_ms"] == 1_795_242_099_999


# Profile


@pytest.mark.parametrize(
    ("function", "part"),
    [
        (("/x/cdc_masker/kafka/lanes.py", 1, "take"), "cdc-masker: Kafka, catalog, metrics"),
        (("/x/cdc_masker/guard.py", 1, "check"), "cdc-masker: egress guard"),
        (("/x/cdc_masker/pipeline.py", 1, "mask"), "cdc-masker: masking"),
        (("/x/aiokafka/producer/sender.py", 1, "send"), "aiokafka"),
        (("/x/other.py", 1, "f"), "other"),
        (("~", 0, "<method 'poll' of 'select.epoll' objects>"), "waiting"),
        (("~", 0, "<method 'append' of 'list' objects>"), "lists, dicts and texts"),
    ],
)
def test_a_function_belongs_to_a_part(function: tuple[str, int, str], part: str) -> None:
    assert part_of(function) == part


def test_a_profile_leaves_waiting_out() -> None:
    poll, mask = ("~", 0, "<method 'poll' of 'select.epoll' objects>"), ("/x/cdc_masker/pipeline.py", 7, "mask")
    lines = shown({poll: (10, 9.0), mask: (20, 3.0), ("/x/cdc_masker/guard.py", 1, "check"): (20, 1.0)})
    assert lines[2:4] == ["| cdc-masker: masking | 75.0% |", "| cdc-masker: egress guard | 25.0% |"]
    assert "| `cdc_masker/pipeline.py:7 mask` | 20 | 75.0% |" in lines and not any("poll" in line for line in lines)
