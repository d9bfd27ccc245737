"""`cdc-masker replay file` and `audit verify-files` as a user runs them: what a capture becomes, and what a check finds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cdc_masker.captures import parted
from cdc_masker.captures.parted import Parted
from cdc_masker.captures.reading import partition_of
from cdc_masker.codecs.capture import decode_line
from cdc_masker.events import Fate, Record
from cdc_masker.evidence import decode_entry
from cdc_masker.keys import write
from tests.golden.cases import CASES, EXAMPLES, KEYS, Case, masked
from tests.unit.commands import Run, runner

CANARY = "canary-51c0ffee"
SHOP = EXAMPLES / "shop.jsonl"
POLICY = EXAMPLES / "shop-policy.json"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    started = runner(monkeypatch, tmp_path, capsys, never=CANARY)
    write(KEYS, Path("keys.json"))
    return started


def replay(run: Run, capture: Path = SHOP, to: str = "out", policy: Path | str = POLICY) -> Path:
    result = run("replay", "file", capture, "--output", to, "--policy", policy, "--keys", "keys.json")
    assert result.code == 0, result
    return Path(to)


def by_partition(lines: bytes) -> dict[tuple[str, int], list[dict[str, Any]]]:
    found = defaultdict(list)
    for line in lines.splitlines():
        one = json.loads(line)
        found[one["topic"], one["partition"]].append(one)
    return found


@pytest.mark.parametrize("size", [5000, 3])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_files_hold_what_the_filter_prints_by_partition(
    run: Run, monkeypatch: pytest.MonkeyPatch, case: Case, size: int
) -> None:
    monkeypatch.setenv("CDC_MASKER_BATCH_RECORDS", str(size))
    out = replay(run, case.capture, policy=POLICY if case.with_policy else "0")

    printed = by_partition(b"\n".join(masked(case).splitlines()))
    written = by_partition((out / "masked.jsonl").read_bytes())
    assert {(topic, partition) for topic, partition in written} == {(f"masked.{topic}", number) for topic, number in printed}
    for (topic, number), outcomes in printed.items():
        for place, (outcome, record) in enumerate(zip(outcomes, written[f"masked.{topic}", number], strict=True)):
            for name in ("key", "value", "headers", "timestamp"):
                assert record[name] == outcome[name]
            assert record["offset"] == place

    entries = [decode_entry(line) for line in (out / "audit.jsonl").read_bytes().splitlines()]
    assert sum(sum(entry.counts.values()) for entry in entries) == sum(map(len, printed.values()))
    assert (len(entries) == len(printed)) == (size == 5000)
    assert run("audit", "verify-files", out, "--raw", case.capture, "--recompute", "--keys", "keys.json").code == 0


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def change(name: str, edit: Callable[[list[bytes]], list[bytes]]) -> Callable[[Path], None]:
    def apply(out: Path) -> None:
        path = out / name
        path.write_bytes(b"".join(edit(lines_of(path))))

    return apply


def cut_last_batch(out: Path) -> None:
    """Takes the last entry, and its masked records, out of the files."""
    *entries, last = lines_of(out / "audit.jsonl")
    records = lines_of(out / "masked.jsonl")
    (out / "audit.jsonl").write_bytes(b"".join(entries))
    (out / "masked.jsonl").write_bytes(b"".join(records[: -decode_entry(last).counts[Fate.MASKED]]))


def swap(at: int, old: bytes, new: bytes) -> Callable[[list[bytes]], list[bytes]]:
    return lambda lines: [*lines[:at], lines[at].replace(old, new), *lines[at + 1 :]]


TAMPERED = {
    "a value": (change("masked.jsonl", swap(9, b'\\"op\\"', b'\\"po\\"')), "root"),
    "a time": (change("masked.jsonl", swap(9, b'"timestamp":1', b'"timestamp":2')), "root"),
    "a record less": (change("masked.jsonl", lambda lines: [*lines[:9], *lines[10:]]), "missing"),
    "a record twice": (change("masked.jsonl", lambda lines: [*lines[:9], lines[9], *lines[9:]]), "order"),
    "a record of nobody": (change("masked.jsonl", swap(-1, b"masked.shop", b"masked.other")), "extra"),
    "a half line": (change("masked.jsonl", lambda lines: [*lines[:-1], lines[-1][:50]]), "unreadable"),
    "no entry": (change("audit.jsonl", lambda lines: [*lines[:-1], b"{}\n"]), "unreadable"),
    "counts": (change("audit.jsonl", swap(2, b'"masked":3', b'"masked":2')), "counts"),
    "an entry less": (change("audit.jsonl", lambda lines: [*lines[:1], *lines[2:]]), "beginning"),
    "the last batch": (cut_last_batch, "head"),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_what_was_changed_in_the_files_is_found(run: Run, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    monkeypatch.setenv("CDC_MASKER_BATCH_RECORDS", "3")
    out = replay(run)
    tamper, code = TAMPERED[what]
    before = [(out / name).read_bytes() for name in ("masked.jsonl", "audit.jsonl")]
    tamper(out)
    assert [(out / name).read_bytes() for name in ("masked.jsonl", "audit.jsonl")] != before
    result = run("audit", "verify-files", out, "--json")
    assert result.code == 1
    assert code in {each["code"] for each in json.loads(result.out)["first_findings"]}


def test_the_capture_is_held_against_the_files(run: Run) -> None:
    lines = lines_of(SHOP)
    Path("part.jsonl").write_bytes(b"".join(lines[:90]))
    out = replay(run, Path("part.jsonl"))

    def codes(capture: list[bytes], *options: str) -> set[str]:
        Path("other.jsonl").write_bytes(b"".join(capture))
        result = run("audit", "verify-files", out, "--raw", "other.jsonl", "--json", *options)
        assert result.code in (0, 1)
        return {each["code"] for each in json.loads(result.out)["first_findings"]}

    anew = "--recompute", "--keys", "keys.json"
    assert codes(lines[:90]) == codes(lines[:90], *anew) == set()
    assert codes(lines) == {"uncovered"}
    assert codes([*lines[:20], *lines[21:90]]) == {"vanished"}
    changed = [*lines[:20], lines[20].replace(b"@", b"@x."), *lines[21:90]]
    assert changed[20] != lines[20]
    assert codes(changed) == set()
    assert codes(changed, *anew) == {"recomputed"}
    assert run("audit", "verify-files", out, "--recompute").code == 2


def test_another_policy_in_the_manifest_is_noticed(run: Run) -> None:
    manifest = replay(run) / "manifest.json"
    text = manifest.read_text()
    manifest.write_text(text.replace('"method": "keep"', '"method": "null"', 1))
    result = run("audit", "verify-files", "out")
    assert (result.code, "digest" in result.err) == (2, True)
    manifest.write_text(text.replace('"generation": 1,\n    "output', '"generation": 2,\n    "output'))
    assert run("audit", "verify-files", "out").code == 1


def line(topic: str = "t", offset: int = 9) -> bytes:
    return b'{"topic":"%s","partition":0,"offset":%d,"timestamp":0,"key":null,"value":"%s"}\n' % (
        topic.encode(),
        offset,
        CANARY.encode(),
    )


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (line()[:-9], "not a capture line"),
        (line(offset=1 << 63), "not a capture line: offset"),
        (line(topic=f"t {CANARY}"), "the topic has no name"),
        (line(topic="masked.t"), "capture raw topics"),
        (line(offset=7), "offset 7 of partition 0 comes after 7"),
    ],
    ids=["half a line", "a number", "a name", "a topic of ours", "an order"],
)
def test_a_line_that_is_wrong_is_named_and_nothing_is_left(run: Run, wrong: bytes, told: str) -> None:
    Path("raw.jsonl").write_bytes(b"".join([*lines_of(SHOP)[:2], line(offset=7), wrong]))
    before = set(Path().iterdir())
    result = run("replay", "file", "raw.jsonl", "--output", "out", "--policy", "0", "--keys", "keys.json")
    assert (result.code, set(Path().iterdir())) == (2, before)
    assert result.err.startswith("cdc-masker: raw.jsonl line 4: ")
    assert told in result.err


def test_what_is_there_is_not_written_over_and_a_policy_needs_a_version(run: Run) -> None:
    out = replay(run)
    before = (out / "audit.jsonl").read_bytes()
    result = run("replay", "file", SHOP, "--output", "out", "--policy", "0", "--keys", "keys.json")
    assert (result.code, "there already" in result.err) == (2, True)
    assert (out / "audit.jsonl").read_bytes() == before
    document = json.loads(POLICY.read_text())
    del document["version"]
    Path("policy.json").write_text(json.dumps(document))
    result = run("replay", "file", SHOP, "--output", "other", "--policy", "policy.json", "--keys", "keys.json")
    assert (result.code, "no version" in result.err) == (2, True)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "--reason is missing"),
        (["--reason", " "], "--reason is missing"),
        (["--reason", "x", "--policy", "0"], "go with --output"),
        (["--reason", "x", "--keys", "keys.json"], "go with --output"),
        (["--output", "out", "--reason", "x"], "leave out either"),
        (["--output", "out", "--generation", "2"], "leave out either"),
    ],
)
def test_options_for_files_and_for_kafka_are_kept_apart(run: Run, options: list[str], told: str) -> None:
    result = run("replay", "file", SHOP, *options)
    assert (result.code, told in result.err) == (2, True), result


def test_a_pipe_is_not_masked_into_kafka(run: Run) -> None:
    result = run("replay", "file", "-", "--reason", "x")
    assert (result.code, "read twice" in result.err) == (2, True)


def test_a_run_that_is_killed_leaves_nothing_under_the_name(run: Run) -> None:
    program = Path(sys.executable).parent / "cdc-masker"
    command = [str(program), "replay", "file", "-", "--output", "out", "--policy", str(POLICY), "--keys", "keys.json"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "CDC_MASKER_BATCH_RECORDS": "1"}
    )
    assert process.stdin is not None
    process.stdin.write(b"".join(lines_of(SHOP)[:100]))
    process.stdin.flush()
    while not any(part.stat().st_size for part in Path().glob(".out.*/masked.jsonl")):
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not Path("out").exists()
    assert run("audit", "verify-files", replay(run)).code == 0


def test_memory_for_finding_lines_again_does_not_grow_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parted, "_GAP_BYTES", 1)
    exact: Parted[Any, Record] = Parted(SHOP, decode_line, partition_of)
    monkeypatch.setattr(parted, "_MOST_SPANS", 20)
    coarse: Parted[Any, Record] = Parted(SHOP, decode_line, partition_of)

    def spans(of: Parted[Any, Record]) -> int:
        return sum(map(len, of._spans.values()))

    assert spans(exact) > 80
    assert spans(coarse) <= 2 * len(coarse.parts)
    records = [decode_line(line) for line in lines_of(SHOP)]
    for part in exact.parts:
        assert list(exact.read(part)) == list(coarse.read(part)) == [each for each in records if partition_of(each) == part]
