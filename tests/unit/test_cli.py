"""`mask`, `keys` and `settings` as a user runs them: what they print, where, and with which exit code."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest

from cdc_masker.cli import main
from tests.unit.building import change, compact

PROGRAM = Path(sys.executable).parent / "cdc-masker"
CANARY = "canary-8c1f2e"
KEEP_A = {"rules": [{"schema": "crm", "table": "people", "column": "a", "method": "keep"}]}


@pytest.fixture(autouse=True)
def _in_an_empty_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.upper().startswith("CDC_MASKER_")]:
        monkeypatch.delenv(name)


@dataclass(frozen=True)
class Result:
    returncode: int
    stdout: bytes
    stderr: bytes


class Run(Protocol):
    def __call__(self, *arguments: str, stdin: bytes = b"") -> Result: ...


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Run:
    """Runs the program's entry point in this process, which is what the installed program does in its own."""

    def run(*arguments: str, stdin: bytes = b"") -> Result:
        monkeypatch.setattr(sys, "argv", [str(PROGRAM), *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsysbinary.readouterr()
        assert ended.value.code is None or isinstance(ended.value.code, int)
        return Result(ended.value.code or 0, printed.out, printed.err)

    return run


def line(value: Any = None, key: Any = None, **more: Any) -> bytes:
    members = {
        "topic": "shop.crm.people",
        "partition": 1,
        "offset": 5,
        "timestamp": 9,
        "headers": [],
        "key": key,
        "value": value,
    }
    return json.dumps(members | more).encode() + b"\n"


def event(**row: Any) -> str:
    return compact(change(after=row))


def base64_of(data: bytes) -> dict[str, str]:
    return {"base64": base64.b64encode(data).decode()}


def write(name: str, content: Any) -> str:
    Path(name).write_text(content if isinstance(content, str) else json.dumps(content))
    return name


def refused(result: Result) -> str:
    """The one sentence on stderr of a command that could not be carried out."""
    (*notes, sentence) = result.stderr.decode().splitlines()
    assert all("no --keys" in note for note in notes)
    assert result.returncode == 2
    assert sentence.startswith("cdc-masker: ")
    assert "Traceback" not in sentence
    assert CANARY not in sentence
    return sentence


def test_mask_writes_a_line_for_each_line_in_order(run: Run) -> None:
    policy = write("policy.json", KEEP_A)
    lines = [line(event(a=CANARY, b=CANARY), '{"a":1}'), line("no json", offset=6), line(compact(change("t")), offset=7)]
    result = run("mask", "--policy", policy, stdin=b"".join(lines))
    assert result.returncode == 0
    masked, quarantined, control = map(json.loads, result.stdout.splitlines())
    assert list(masked) == ["outcome", "target", "topic", "partition", "offset", "timestamp", "headers", "key", "value"]
    assert masked == {
        "outcome": "masked",
        "target": "masked.shop.crm.people",
        "topic": "shop.crm.people",
        "partition": 1,
        "offset": 5,
        "timestamp": 9,
        "headers": [["cdc-masker", "v=1;p=1;o=5;g=1;pv=0;ke=1"]],
        "key": '{"a":1}',
        "value": event(a=CANARY, b=None),
    }
    assert quarantined == {
        "outcome": "quarantined",
        "reason": "not_json",
        "topic": "shop.crm.people",
        "partition": 1,
        "offset": 6,
    }
    assert (control["outcome"], control["offset"]) == ("control", 7)


def test_mask_without_a_policy_redacts_everything_and_without_keys_says_so(run: Run) -> None:
    result = run("mask", stdin=line(event(a=CANARY), f'{{"a":"{CANARY}"}}'))
    assert result.returncode == 0
    assert CANARY.encode() not in result.stdout
    assert result.stderr.decode().count("\n") == 1
    assert b"no --keys" in result.stderr


def test_mask_with_keys_gives_the_same_lines_each_time_and_says_nothing(run: Run) -> None:
    assert run("keys", "new", "keys.json").returncode == 0
    records = line(event(a=1), '{"a":1}') * 3
    one, other = (run("mask", "--keys", "keys.json", stdin=records) for _ in range(2))
    assert one.returncode == 0
    assert one.stdout == other.stdout
    assert one.stderr == b""
    assert run("mask", stdin=records).stdout != one.stdout


def test_mask_reads_and_writes_files(run: Run) -> None:
    Path("in.jsonl").write_bytes(line(event(a=1)) * 2)
    result = run("mask", "in.jsonl", "-o", "out.jsonl")
    assert (result.returncode, result.stdout) == (0, b"")
    assert len(Path("out.jsonl").read_bytes().splitlines()) == 2


def test_mask_takes_and_writes_bytes_that_are_no_text(run: Run) -> None:
    policy = write("policy.json", {"headers": ["trace"]})
    headers = [["trace", base64_of(b"\xff\x00")], ["trace", "text"], ["trace", None], ["other", "x"]]
    lines = line(base64_of(event(a=1).encode()), headers=headers) + line(base64_of(b"\xff"), base64_of(b"\xfe"), offset=6)
    result = run("mask", "--policy", policy, "-", stdin=lines)
    assert result.returncode == 0
    masked, quarantined = map(json.loads, result.stdout.splitlines())
    assert masked["headers"][:-1] == headers[:-1]
    assert json.loads(masked["value"])["after"] == {"a": None}
    assert quarantined["reason"] == "not_utf8"


BAD_LINES = [
    CANARY.encode(),
    b"",
    b"\xff" + CANARY.encode(),
    b"[]",
    json.dumps({"value": CANARY}).encode(),
    line(5),
    line([CANARY]),
    line({"base64": f"{CANARY}!"}),
    line({"hex": CANARY}),
    line(offset=-1),
    line(offset=CANARY),
    line(partition="1"),
    line(topic=""),
    line(headers=[[CANARY]]),
    line(headers={CANARY: CANARY}),
    line(more=CANARY),
]


@pytest.mark.parametrize("bad", BAD_LINES, ids=lambda bad: bad.decode(errors="replace")[:40])
def test_mask_names_a_line_that_is_no_record(run: Run, bad: bytes) -> None:
    result = run("mask", stdin=line(event(a=1)) * 2 + bad.rstrip(b"\n") + b"\n" + line(event(a=1)))
    assert "line 3: not a capture line" in refused(result)
    assert len(result.stdout.splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere.jsonl"], "nowhere.jsonl can't be read"),
        ([".", "-o", "out"], ". can't be read"),
        (["-o", "no/where"], "no/where can't be written"),
        (["--policy", "nowhere.json"], "nowhere.json can't be read"),
        (["--policy", "bad.json"], "unknown field"),
        (["--policy", "method.json"], "rule crm.people.a: there is no method 'hide'"),
        (["--policy", "digest.json"], "digest: is not the digest of this content"),
        (["--keys", "nowhere.json"], "keys new nowhere.json"),
        (["--keys", "open.json"], "chmod 600 open.json"),
        (["--keys", "bad-keys.json"], "bad-keys.json is not a key file"),
    ],
)
def test_mask_refuses_what_it_cannot_use_with_one_sentence(run: Run, arguments: list[str], told: str) -> None:
    write("bad.json", {**KEEP_A, "extra": CANARY})
    write("method.json", {"rules": [KEEP_A["rules"][0] | {"method": "hide", "params": {"x": CANARY}}]})
    write("digest.json", {**KEEP_A, "digest": "sha256:00"})
    write("bad-keys.json", f'{{"format":1,"keys":["{CANARY}"]}}')
    Path("bad-keys.json").chmod(0o600)
    write("open.json", CANARY)
    Path("open.json").chmod(0o644)
    result = run("mask", *arguments, stdin=line(event(a=1)))
    assert told in refused(result)
    assert result.stdout == b""


def test_an_unknown_option_is_a_wrong_use(run: Run) -> None:
    assert run("mask", "--polcy", "x").returncode == 2
    assert run("maks").returncode == 2


def test_keys_new_makes_a_file_for_its_owner_and_prints_no_key(run: Run) -> None:
    result = run("keys", "new", "keys.json")
    assert (result.returncode, result.stdout) == (0, b"")
    path = Path("keys.json")
    assert path.stat().st_mode & 0o777 == 0o600
    made = json.loads(path.read_text())
    (key,) = made["keys"]
    assert (made["format"], list(key), key["epoch"]) == (1, ["id", "epoch", "root"], 1)
    assert len(base64.b64decode(key["root"], validate=True)) == 32
    assert key["id"].encode() in result.stderr
    assert key["root"].encode() not in result.stderr


def test_keys_new_never_overwrites(run: Run) -> None:
    write("keys.json", CANARY)
    assert "keys.json is there already" in refused(run("keys", "new", "keys.json"))
    assert Path("keys.json").read_text() == CANARY


def test_settings_are_printed_with_their_sources_and_without_secrets(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDC_MASKER_DATABASE_URL", f"postgresql://me:{CANARY}@host/db")
    monkeypatch.setenv("CDC_MASKER_WEB_PORT", "7000")
    write(".env", f"CDC_MASKER_KAFKA_PASSWORD={CANARY}\nCDC_MASKER_APP_ID=mine\n")
    result = run("settings")
    assert (result.returncode, result.stderr) == (0, b"")
    assert CANARY.encode() not in result.stdout
    lines = result.stdout.decode().splitlines()
    assert "CDC_MASKER_DATABASE_URL=********  # CDC_MASKER_DATABASE_URL" in lines
    assert "CDC_MASKER_KAFKA_PASSWORD=********  # .env" in lines
    assert "CDC_MASKER_WEB_PORT=7000  # CDC_MASKER_WEB_PORT" in lines
    assert "CDC_MASKER_APP_ID=mine  # .env" in lines
    assert "CDC_MASKER_KEYS_FILE=  # default" in lines


def test_settings_as_json_for_programs(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDC_MASKER_KAFKA_KEY_PASSWORD", CANARY)
    result = run("settings", "--json")
    assert CANARY.encode() not in result.stdout
    rows = {row["setting"]: row for row in json.loads(result.stdout)}
    assert rows["CDC_MASKER_KAFKA_KEY_PASSWORD"]["value"] == "********"
    assert rows["CDC_MASKER_KAFKA_PASSWORD"]["value"] is None
    assert all(row["meaning"] and row["source"] for row in rows.values())


def test_a_wrong_setting_is_one_sentence(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDC_MASKER_WEB_PORT", CANARY)
    assert "CDC_MASKER_WEB_PORT" in refused(run("settings"))


def test_the_installed_program_does_the_same_in_a_process_of_its_own(run: Run) -> None:
    write("policy.json", KEEP_A)
    run("keys", "new", "keys.json")
    arguments = ["mask", "--policy", "policy.json", "--keys", "keys.json"]
    for lines in (line(event(a=1, b=CANARY), '{"a":1}'), line(event(a=1)) + CANARY.encode()):
        done = subprocess.run([PROGRAM, *arguments], input=lines, capture_output=True, check=False, timeout=60)
        assert Result(done.returncode, done.stdout, done.stderr) == run(*arguments, stdin=lines)


def test_mask_refuses_to_write_over_its_input(run: Run, tmp_path: Path) -> None:
    capture = tmp_path / "capture.jsonl"
    capture.write_bytes(line(event(id=1)))
    assert run("mask", str(capture), "-o", str(capture)).returncode == 2
    assert capture.read_bytes() == line(event(id=1))


def test_a_full_disk_is_told_in_a_sentence(run: Run) -> None:
    result = run("mask", "-o", "/dev/full", stdin=line(event(a=1)))
    assert result.returncode == 2
    assert b"cdc-masker: /dev/full can't be written (No space left on device)" in result.stderr
