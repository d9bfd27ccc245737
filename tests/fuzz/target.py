"""The fuzz target: whatever bytes a record has, it gets one outcome, and a canary in a masked column is not in it. Both cores
say the same.

    python -m tests.fuzz.target [DIRECTORY] [libFuzzer options]

An input is topic, key, value and the value of a key-change header, with a zero byte between them, which JSON never holds. The
corpus starts with the captures that ship with the project, the same rows flattened, and a canary in their e-mail addresses.
The policy has every method, but for those that show a part of any text, where a canary may rightly be seen.
A directory keeps what is found between runs.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["cdc_masker"]):
    from cdc_masker.batches import gathered
    from cdc_masker.codecs.capture import decode_line
    from cdc_masker.events import Fate, Outcome, Record
    from cdc_masker.pipeline import Masker
    from cdc_masker.policies import Domain, EnvelopeShape, Policy, Rule, TableDefault
    from tests.unit.building import KEYS

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
CANARY = b"kanarie-3f9ad1"
KEPT = "tier"
FLATTENED = "flattened.customers"
TOPICS = ["shop.crm.customers", FLATTENED, "shop.crm.orders", "shop.transaction", "__debezium-heartbeat.shop"]


def _rule(column: str, method: str, stated: str | None = None, **params: Any) -> Rule:
    return Rule(schema="crm", table="customers", column=column, type=stated, method=method, params=params)


def _part(path: str, method: str, **params: Any) -> Rule:
    return Rule(schema="crm", table="customers", column="profile", path=path, method=method, params=params)


def _pattern(column: str, method: str, stated: str | None = None, **params: Any) -> Rule:
    return Rule(schema="crm", table="*", column=column, type=stated, pattern=True, method=method, params=params)


POLICY = Policy.of(
    1,
    rules=[
        _rule(KEPT, "keep"),
        _rule("email", "tokenize", domain="email"),
        _rule("full_name", "pseudonym", kind="name"),
        _rule("phone", "phone", region="US"),
        _rule("ssn", "fpe", alphabet="digits"),
        _rule("card_number", "card"),
        _rule("balance", "bucket", "numeric(12,2)", size=1000),
        _rule("created_at", "date_shift", "timestamptz", subject="id", domain="dates"),
        _rule("updated_at", "year", "timestamp"),
        _rule("ref", "tokenize"),
        _rule("notes", "encrypt", domain="people", subject="id"),
        _rule("active", "random"),
        _rule("score", "noise", "double precision", distribution="laplace", bound=9, scale=1),
        _rule("dob", "month", "date"),
        _rule("age", "age"),
        _rule("home", "geo", degrees=0.5),
        _rule("zip", "postcode", country="US"),
        _rule("last_ip", "ip"),
        _rule("avatar", "null"),
        _rule("tags", "drop"),
        _part("$.n", "keep"),
        _part("$..email", "encrypt"),
        _part("$.memo", "fixed", value="none"),
        _part("$.contact.phones[*]", "fpe", alphabet="digits"),
        _part("$.people.*~", "tokenize"),
        _pattern("*mail*", "tokenize", domain="email"),
        _pattern("total", "round", digits=-1),
        _pattern("placed*", "date", "timestamptz"),
        _pattern("ib*", "redact"),
    ],
    domains=[Domain(name="people", per_subject=True)],
    tables=[TableDefault(schema="crm", table="orders", default="drop")],
    envelopes=[EnvelopeShape(topic=FLATTENED, shape="flattened", schema="crm", table="customers")],
)
MASKER = Masker(POLICY, KEYS)
NATIVE = Masker(POLICY, KEYS, native=True)
# Columns that no capture has, for the methods that are for them.
ADDED = b'"age":93,"home":{"x":13.4,"y":52.5,"wkb":"AQEAAADNzMzMzMwqQAAAAAAAQEpA","srid":4326},"zip":"94105","notes":'


class _Subjects:
    def key(self, domain: str, subject: str, topic: str, partition: int, offset: int) -> bytes:
        return hashlib.sha256(subject.encode()).digest()


def corpus() -> Iterator[bytes]:
    """Inputs to start from: one of each kind of captured record, and rows of them flattened."""
    seen = set()
    for name in ("shop.jsonl", "shop-schemas.jsonl"):
        for line in (EXAMPLES / name).read_bytes().splitlines():
            record = decode_line(line)
            shape = (name, record.topic, len(record.value or b"") // 50, len(record.headers))
            if shape not in seen and record.topic in TOPICS:
                seen.add(shape)
                value = (record.value or b"").replace(b"@example.com", b"@" + CANARY).replace(b'"notes":', ADDED)
                header = next((value for name, value in record.headers if name.startswith("__debezium.new")), None)
                yield _joined(record.topic, record.key, value, header)
                row = (json.loads(value).get("after") if value.startswith(b"{") else None) or {}
                if row:
                    added = {"__deleted": "false", "__op": "u", "__table": "customers", "__source_ts_ms": 1}
                    yield _joined(FLATTENED, record.key, json.dumps(row | added, separators=(",", ":")).encode(), None)


def check(data: bytes) -> None:
    """Raises `AssertionError` when a promise is broken."""
    topic, key, value, header, *_ = [*data.split(b"\0"), b"", b"", b""]
    record = Record(
        TOPICS[topic[0] % len(TOPICS)] if topic else TOPICS[0],
        0,
        0,
        0,
        key or None,
        value or None,
        (("__debezium.newkey", header),) if header else (),
    )
    outcome = MASKER.mask(record, _Subjects())
    assert isinstance(outcome, Outcome)
    assert (outcome.fate is Fate.QUARANTINED) == (outcome.reason is not None) == (not outcome.published)
    written = [outcome.key or b"", outcome.value or b"", *(value or b"" for _, value in outcome.headers)]
    assert outcome.published or written == [b"", b""]
    # What people are told of an outcome has names of columns in it, too.
    if any(CANARY in each for each in (*written, repr(outcome).encode())):
        assert any(_was_moved(part) for part in (key, value, header)), "a canary in a masked column is in the outcome"
    ours, theirs = gathered([outcome]), NATIVE.mask_batch([record], _Subjects())
    assert ([*theirs.rows], theirs.root, theirs.notes) == ([*ours.rows], ours.root, ours.notes), "the compiled core differs"


def _was_moved(part: bytes) -> bool:
    """Whether mutation has put the canary where it is let through: a column's name, a kept column, metadata, a schema."""
    try:
        document = json.loads(part)
    except ValueError:
        return False
    if not isinstance(document, dict):
        return False
    return CANARY.decode() in json.dumps([*_shown(document), document.get("schema")], ensure_ascii=False)


def _shown(document: dict[str, Any]) -> Iterator[Any]:
    for name, value in document.items():
        yield name
        if name in (KEPT, "source", "transaction", "id", "data_collections") or name.startswith("__"):
            yield value
        elif name == "profile" and isinstance(value, str):
            yield _kept_part(value)
        elif isinstance(value, dict):
            yield from _shown(value)


def _kept_part(text: str) -> Any:
    try:
        profile = json.loads(text)
    except ValueError:
        return None
    return profile.get("n") if isinstance(profile, dict) else None


def _joined(topic: str, *parts: bytes | None) -> bytes:
    return b"\0".join([bytes([TOPICS.index(topic) + 5]), *(part or b"" for part in parts)])


def main() -> None:
    """Runs until a promise is broken or libFuzzer's options say that it is enough."""
    named = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    with tempfile.TemporaryDirectory() as temporary:
        directories = [Path(each) for each in named] or [Path(temporary)]
        directories[0].mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(corpus()):
            check(data)
            (directories[0] / f"capture-{number:03}").write_bytes(data)
        arguments = [each for each in sys.argv if each not in named]
        atheris.Setup([*arguments, f"-artifact_prefix={directories[0]}/", *map(str, directories)], check)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
