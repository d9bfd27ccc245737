"""Logical messages: rows of a table in no schema, which is named after their prefix."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from cdc_masker.engine import RowPlan
from cdc_masker.errors import PolicyError, Reason
from cdc_masker.events import Fate, Outcome, Record
from cdc_masker.leaks.anatomy import Anatomy
from cdc_masker.pipeline import Masker
from cdc_masker.policies import Policy, Rule, TableDefault
from tests.unit.building import KEYS, change, compact, described, envelope_schema, masker, payload, record, row_schema
from tests.unit.connect_json import misfits

CANARY = "canary-8c1f2e"
CONTENT = base64.b64encode(CANARY.encode()).decode()
TOPIC = "shop.message"
HINT = "outbox-hint"


def about(column: str, method: str, prefix: str = HINT, **more: Any) -> Rule:
    return Rule(schema="", table=prefix, column=column, method=method, **more)


RULES = (about("prefix", "keep"), about("content", "keep"))


def event(message: Any, **members: Any) -> dict[str, Any]:
    made = change("m", table="", message=message, **members)
    del made["before"], made["after"]
    made["source"]["schema"] = ""
    return made


def emitted(prefix: str, key: Any = None, **more: Any) -> Record:
    return record(event({"prefix": prefix, "content": CONTENT}), key or {"prefix": prefix}, topic=TOPIC, **more)


def clean(outcome: Outcome) -> Outcome:
    texts = (outcome.key or b"", outcome.value or b"", repr(outcome).encode())
    assert not any(form.encode() in text for text in texts for form in (CANARY, CONTENT))
    return outcome


def test_a_rule_for_a_prefix_decides_for_messages_of_that_prefix_only() -> None:
    decided = masker(*RULES)
    assert payload(decided.mask(emitted(HINT)).value)["message"] == {"prefix": HINT, "content": CONTENT}
    for other in ("outbox", "Outbox-Hint", "", CANARY):
        message = payload(clean(decided.mask(emitted(other))).value)["message"]
        assert message["prefix"] != other
        assert message["content"] is None


def test_the_key_goes_by_the_same_rules_and_so_does_the_key_in_a_header() -> None:
    raw = emitted(HINT, headers=(("__debezium.newkey", b'{"prefix":"outbox-hint"}'),))
    outcome = masker(*RULES).mask(raw)
    assert outcome.key == raw.key
    assert outcome.headers[0] == ("__debezium.newkey", b'{"prefix":"outbox-hint"}')
    other = masker().mask(raw)
    token = payload(other.key)["prefix"]
    assert (len(token), other.headers[0]) == (32, ("__debezium.newkey", compact({"prefix": token}).encode()))
    assert payload(other.value)["message"]["prefix"] == token


def test_a_prefix_has_one_token_whether_rules_are_about_others_or_not() -> None:
    tokens = {each.mask(emitted("audit")).key for each in (masker(), masker(*RULES), masker(about("content", "keep", "audit")))}
    assert len(tokens) == 1


def test_a_rule_of_one_server_is_about_its_messages_only() -> None:
    for server, kept in (("shop", CONTENT), ("other", None)):
        outcome = masker(about("content", "keep", server=server)).mask(emitted(HINT))
        assert payload(outcome.value)["message"]["content"] == kept


@pytest.mark.parametrize(("default", "fate"), [("drop", Fate.MASKED), ("quarantine", Fate.QUARANTINED)])
def test_a_prefix_may_have_a_default_of_its_own(default: Any, fate: Fate) -> None:
    policy = Policy.of(1, rules=RULES, tables=[TableDefault(schema="", table="audit", default=default)])
    outcome = clean(Masker(policy, KEYS).mask(emitted("audit")))
    assert outcome.fate is fate
    assert outcome.value is None or set(payload(outcome.value)["message"]) == {"prefix"}
    assert set(payload(Masker(policy, KEYS).mask(emitted("other")).value)["message"]) == {"prefix", "content"}


@pytest.mark.parametrize("prefix", [HINT, CANARY])
def test_it_fits_its_schema(prefix: str) -> None:
    named = {"type": "string", "optional": False, "field": "prefix"}
    content = {"type": "bytes", "optional": False, "field": "content", "default": CONTENT, "doc": CANARY}
    message = {"type": "struct", "fields": [named, content], "optional": False, "name": "Message", "field": "message"}
    schema = envelope_schema({})
    schema["fields"] = [*schema["fields"][2:], message]
    key = described(row_schema({"prefix": {"type": "string"}}, "Key"), {"prefix": prefix})
    raw = record(described(schema, event({"prefix": prefix, "content": CONTENT})), key, topic=TOPIC)
    outcome = clean(masker(about("prefix", "keep"), about("content", "redact")).mask(raw))
    assert misfits(outcome.value) == misfits(outcome.key) == []
    assert payload(outcome.key)["prefix"] == payload(outcome.value)["message"]["prefix"]
    assert (payload(outcome.key)["prefix"] == HINT) is (prefix == HINT)
    assert payload(outcome.value)["message"]["content"] == ""


@pytest.mark.parametrize(
    "message",
    [None, [], "x", {}, {"content": CONTENT}, {"prefix": None, "content": CONTENT}, {"prefix": 7}, {"prefix": [HINT]}],
)
def test_a_message_without_a_prefix_is_quarantined(message: Any) -> None:
    outcome = clean(masker(*RULES).mask(record(event(message), {"prefix": HINT}, topic=TOPIC)))
    assert (outcome.fate, outcome.reason, outcome.place) == (Fate.QUARANTINED, Reason.BAD_ENVELOPE, "message")


def test_a_prefix_that_stands_twice_is_quarantined() -> None:
    twice = compact(event({"prefix": CANARY})).replace('"prefix"', '"prefix":"outbox-hint","prefix"')
    for text in (twice, twice.replace('"outbox-hint"', '"x"').replace(CANARY, HINT)):
        outcome = clean(masker(*RULES).mask(record(text, {"prefix": HINT}, topic=TOPIC)))
        assert outcome.reason is Reason.AMBIGUOUS_JSON


def test_a_rule_without_a_table_is_refused() -> None:
    """It would be about messages without a prefix, and about every record whose table is not known."""
    with pytest.raises(PolicyError, match=r"rule \.\.id: names no table"):
        Policy.of(1, rules=[about("id", "keep", "")])


def test_prefixes_that_no_rule_names_share_one_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []
    made = Masker(Policy.of(1, rules=RULES), KEYS)
    compile_ = made._engine.compile

    def counted(*arguments: Any) -> RowPlan:
        compiled.append(arguments)
        return compile_(*arguments)

    monkeypatch.setattr(made._engine, "compile", counted)
    for number in range(100):
        made.mask(emitted(f"session-{number}"))
    assert len(compiled) == 2  # of the key and of the image


@pytest.mark.parametrize(
    ("prefix", "rules", "searched"),
    [(HINT, RULES, set()), (HINT, (), {HINT, CONTENT, CANARY}), ("audit", RULES, {"audit", CONTENT, CANARY})],
)
def test_the_search_for_leaks_goes_by_the_same_rules(prefix: str, rules: tuple[Rule, ...], searched: set[str]) -> None:
    found = Anatomy(Policy.of(1, rules=rules)).dissect(emitted(prefix))
    assert {value.decode() for _, value in found.values} == searched
    assert {column for column, _ in found.values} <= {f"{TOPIC} prefix", f"{TOPIC} content"}
