"""`cdc-masker leaks` on captures that the core masked: nothing is found, and whatever is planted is."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cdc_masker.codecs.capture import decode_line, encode_line, encode_outcome
from cdc_masker.pipeline import Masker
from cdc_masker.policies import EMPTY, Policy
from tests.unit.building import KEYS, change, record
from tests.unit.commands import Run, runner

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SHOP_POLICY = EXAMPLES / "shop-policy.json"
SECRET = "ivan.okafor2@example.com"


@pytest.fixture
def leaks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    return runner(monkeypatch, tmp_path, capsys, "leaks", never=SECRET)


@pytest.fixture(params=["shop", "shop-schemas"])
def raw(request: pytest.FixtureRequest) -> Path:
    return EXAMPLES / f"{request.param}.jsonl"


def mask(raw: Path, policy: Policy, masked: Path) -> list[bytes]:
    masker = Masker(policy, KEYS)
    lines = [encode_outcome(masker.mask(decode_line(line))) for line in raw.read_bytes().splitlines()]
    masked.write_bytes(b"\n".join(lines) + b"\n")
    return lines


def shop_policy() -> Policy:
    return Policy.from_document(SHOP_POLICY.read_bytes())


@pytest.fixture
def masked(tmp_path: Path) -> Path:
    """The plain capture, masked under the example policy."""
    mask(EXAMPLES / "shop.jsonl", shop_policy(), tmp_path / "masked.jsonl")
    return tmp_path / "masked.jsonl"


def test_nothing_leaks_under_the_example_policy(raw: Path, leaks: Run, tmp_path: Path) -> None:
    mask(raw, shop_policy(), tmp_path / "masked.jsonl")
    result = leaks("--raw", raw, "--policy", SHOP_POLICY, "--masked", tmp_path / "masked.jsonl", "--json")
    report = json.loads(result.out)
    assert (result.code, report["hits"], result.err) == (0, 0, "")
    assert report["policy_version"] == 1
    assert report["policy_digest"] == shop_policy().digest
    assert report["needles"] > 300
    assert report["planted"] > 300
    columns = {column["column"]: column for column in report["columns"]}
    assert columns["crm.customers.email"]["needles"] == 42
    assert columns["crm.customers.dob"] == {"column": "crm.customers.dob", "needles": 0, "ambiguous": 0, "not_searched": 48}
    assert not {"crm.customers.id", "crm.customers.tier", "crm.customers.created_at"} & set(columns)
    (searched,) = report["searched"]
    assert searched["count"] == len(raw.read_bytes().splitlines())
    assert searched["bytes"] > 50_000


def test_nothing_leaks_where_nobody_decided_anything(raw: Path, leaks: Run, tmp_path: Path) -> None:
    mask(raw, EMPTY, tmp_path / "masked.jsonl")
    (tmp_path / "policy.json").write_text("{}")
    result = leaks("--raw", raw, "--policy", tmp_path / "policy.json", "--masked", tmp_path / "masked.jsonl")
    assert result.code == 0
    assert result.out.endswith("no raw value found\n")
    assert "crm.customers.created_at\t" in result.out


def test_a_policy_that_keeps_less_than_was_published_shows_it(leaks: Run, masked: Path, tmp_path: Path) -> None:
    (tmp_path / "policy.json").write_text("{}")
    result = leaks("--raw", EXAMPLES / "shop.jsonl", "--policy", tmp_path / "policy.json", "--masked", masked)
    assert result.code == 1
    assert "crm.customers.created_at (utf-8)" in result.out


def _in_value(line: dict[str, Any]) -> None:
    line["value"] = line["value"].replace('"notes":', f'"x":"{SECRET}","notes":')


def _in_key(line: dict[str, Any]) -> None:
    line["key"] = json.dumps({"id": SECRET.upper()})


def _in_header(line: dict[str, Any]) -> None:
    line["headers"].append(["trace", base64.b64encode(b"?" + SECRET.encode()).decode()])


def _in_header_bytes(line: dict[str, Any]) -> None:
    line["headers"].append(["trace", {"base64": base64.b64encode(b"\xff" + SECRET.encode()).decode()}])


def _in_header_name(line: dict[str, Any]) -> None:
    line["headers"].append([SECRET, None])


def _beside(line: dict[str, Any]) -> None:
    line["reason"] = SECRET.encode().hex()


@pytest.mark.parametrize(
    ("plant", "place"),
    [
        (_in_value, "value"),
        (_in_key, "key"),
        (_in_header, "header 2"),
        (_in_header_bytes, "header 2"),
        (_in_header_name, "header 2 name"),
        (_beside, "outcome"),
    ],
)
def test_a_raw_value_in_a_masked_record_is_found(
    leaks: Run, masked: Path, plant: Callable[[dict[str, Any]], None], place: str
) -> None:
    lines = masked.read_bytes().splitlines()
    planted = json.loads(lines[4])
    plant(planted)
    lines[4] = json.dumps(planted).encode()
    masked.write_bytes(b"\n".join(lines))
    result = leaks("--raw", EXAMPLES / "shop.jsonl", "--policy", SHOP_POLICY, "--masked", masked)
    assert result.code == 1
    assert f"LEAK {masked} line 5 {place}: crm.customers.email" in result.out
    assert result.out.endswith("1 raw values found\n")
    assert SECRET not in result.out.lower() + result.err.lower()


def test_a_line_that_is_no_outcome_is_searched_as_it_is(leaks: Run, masked: Path) -> None:
    with masked.open("ab") as file:
        file.write(b"Traceback: " + SECRET.encode() + b"\n[1]\n")
    result = leaks("--raw", EXAMPLES / "shop.jsonl", "--policy", SHOP_POLICY, "--masked", masked)
    assert result.code == 1
    assert f"LEAK {masked} line 121 byte 11: crm.customers.email" in result.out


def test_files_below_a_directory_are_searched(leaks: Run, masked: Path, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    (logs / "deep").mkdir(parents=True)
    (logs / "clean.log").write_text("INFO all is well\n")
    arguments = ["--raw", EXAMPLES / "shop.jsonl", "--policy", SHOP_POLICY, "--masked", masked, "--in", logs]
    assert leaks(*arguments).code == 0
    (logs / "deep" / "worker.log").write_bytes(b"x" * 3_000_000 + SECRET.encode("utf-16-le") + b"\0" * 100)
    result = leaks(*arguments, "--json")
    report = json.loads(result.out)
    assert result.code == 1
    assert [hit["place"] for hit in report["first_hits"]] == [f"{logs / 'deep' / 'worker.log'} byte 3000000"]
    assert report["first_hits"][0]["encoding"] == "utf-16le"
    assert [(sink["sink"], sink["count"]) for sink in report["searched"]] == [(f"masked capture {masked}", 120), (str(logs), 2)]
    assert SECRET not in result.out


def test_an_ambiguous_value_is_counted_apart(leaks: Run, tmp_path: Path) -> None:
    policy = {"rules": [{"schema": "crm", "table": "people", "column": "plan", "method": "keep"}]}
    (tmp_path / "policy.json").write_text(json.dumps(policy))
    one = record(change(after={"plan": "enterprise", "role": "enterprise", "name": "Ivan Okafor"}))
    (tmp_path / "raw.jsonl").write_bytes(encode_line(one) + b"\n")
    mask(tmp_path / "raw.jsonl", Policy.from_document(policy), tmp_path / "masked.jsonl")
    result = leaks("--raw", "raw.jsonl", "--policy", "policy.json", "--masked", "masked.jsonl", "--json")
    report = json.loads(result.out)
    assert (result.code, report["hits"], report["ambiguous"], report["ambiguous_hits"]) == (0, 0, 1, 1)
    assert {"column": "crm.people.role", "needles": 1, "ambiguous": 1, "not_searched": 0} in report["columns"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--raw", "none.jsonl", "--policy", "policy.json", "--masked", "masked.jsonl"], "none.jsonl is no regular file"),
        (["--raw", "raw.jsonl", "--policy", "policy.json", "--masked", "none.jsonl"], "none.jsonl is no regular file"),
        (["--raw", "raw.jsonl", "--policy", "none.json", "--masked", "masked.jsonl"], "none.json can't be read"),
        (["--raw", "raw.jsonl", "--masked", "masked.jsonl"], "CDC_MASKER_DATABASE_URL"),
        (["--raw", "raw.jsonl", "--policy", "policy.json", "--masked", "masked.jsonl", "--in", "none"], "none is no file"),
        (["--raw", "empty.jsonl", "--policy", "policy.json", "--masked", "masked.jsonl"], "hold no value to search for"),
        (["--raw", "raw.jsonl", "--policy", "policy.json", "--masked", "empty.jsonl"], "nothing to search in"),
        (
            ["--raw", "masked.jsonl", "--policy", "policy.json", "--masked", "masked.jsonl"],
            "masked.jsonl line 1",
        ),
        (["--policy", "policy.json", "--masked", "masked.jsonl"], "CDC_MASKER_SOURCE_TOPICS"),
        (["topic", "--raw", "raw.jsonl"], "not both"),
    ],
)
def test_what_proves_nothing_is_refused(leaks: Run, masked: Path, tmp_path: Path, arguments: list[str], reason: str) -> None:
    (tmp_path / "policy.json").write_text("{}")
    (tmp_path / "empty.jsonl").write_bytes(b"")
    (tmp_path / "raw.jsonl").write_bytes((EXAMPLES / "shop.jsonl").read_bytes())
    result = leaks(*arguments)
    assert result.code == 2
    assert reason in result.err
    assert result.out == ""


def test_needles_are_searched_in_parts_with_the_same_result(leaks: Run, masked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with masked.open("ab") as file:
        file.write(SECRET.encode() + b"\n")
    arguments = ["--raw", EXAMPLES / "shop.jsonl", "--policy", SHOP_POLICY, "--masked", masked, "--json"]
    whole = json.loads(leaks(*arguments).out)
    monkeypatch.setattr("cdc_masker.leaks.needles._AT_ONCE", 50)
    parts = json.loads(leaks(*arguments).out)
    assert parts["planted"] > 5 * whole["planted"]
    for report in (whole, parts):
        del report["planted"], report["patterns"]
    assert parts == whole
    assert whole["hits"] == 1
