"""Policy documents: parsed strictly, digested by what they decide, matched exactly."""

from __future__ import annotations

import hashlib
import json
import random
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from cdc_masker.engine import check
from cdc_masker.errors import PolicyError
from cdc_masker.events import Outcome
from cdc_masker.keys import Keyring
from cdc_masker.keys.keyring import RootKey
from cdc_masker.pipeline import Masker
from cdc_masker.policies import EMPTY, Domain, EnvelopeShape, Policy, Rule, TableDefault
from tests.unit.building import KEYS, change, payload, record, rule, source

DOCUMENT: dict[str, Any] = {
    "format": 1,
    "version": 3,
    "default": "redact",
    "tables": [{"schema": "crm", "table": "orders", "default": "redact"}],
    "domains": [{"name": "email", "type": "text", "fold_case": True}],
    "envelopes": [{"topic": "shop.crm.people", "shape": "debezium"}],
    "headers": ["trace", "app"],
    "rules": [
        {"schema": "crm", "table": "people", "column": "id", "method": "keep", "reason": "a number"},
        {"server": "shop", "schema": "crm", "table": "people", "column": "id", "type": "bigint", "method": "redact"},
        {"schema": "crm", "table": "people", "column": "mail", "method": "tokenize", "params": {"domain": "email"}},
    ],
}


def parse(**changes: Any) -> Policy:
    return Policy.from_document(DOCUMENT | changes)


def test_only_names_and_method_are_needed_in_a_rule() -> None:
    policy = Policy.from_document(b'{"rules":[{"schema":"s","table":"t","column":"c","method":"keep"}]}')
    assert policy.export() == {
        "format": 1,
        "version": 0,
        "digest": policy.digest,
        "default": "redact",
        "key_epoch": 1,
        "tables": [],
        "domains": [],
        "envelopes": [],
        "headers": [],
        "rules": [
            {
                "server": "*",
                "schema": "s",
                "table": "t",
                "column": "c",
                "path": None,
                "type": None,
                "method": "keep",
                "params": {},
                "pattern": False,
                "strict": False,
                "allow_small_domain": False,
                "allow_uniqueness_loss": False,
                "classification": None,
                "reason": None,
                "ticket": None,
            }
        ],
    }


def test_members_are_exported_in_the_order_that_people_read() -> None:
    exported = parse().export()
    assert list(exported) == [
        "format",
        "version",
        "digest",
        "default",
        "key_epoch",
        "tables",
        "domains",
        "envelopes",
        "headers",
        "rules",
    ]
    assert list(exported["rules"][0]) == [
        "server",
        "schema",
        "table",
        "column",
        "path",
        "type",
        "method",
        "params",
        "pattern",
        "strict",
        "allow_small_domain",
        "allow_uniqueness_loss",
        "classification",
        "reason",
        "ticket",
    ]


def test_an_export_is_read_back_as_the_same_policy() -> None:
    exported = parse().export()
    assert Policy.from_document(json.dumps(exported).encode()) == parse()
    assert Policy.from_document(exported).export() == exported


def test_an_empty_document_decides_nothing() -> None:
    assert Policy.from_document(b"{}") == EMPTY
    assert EMPTY.version == 0


def test_the_digest_is_the_sha256_of_the_canonical_content() -> None:
    content = parse().export()
    del content["version"], content["digest"]
    for each in (*content["tables"], *content["envelopes"], *content["rules"]):
        del each["reason"], each["ticket"]
    assert parse().digest == "sha256:" + hashlib.sha256(rfc8785.dumps(content)).hexdigest()


@given(st.randoms(use_true_random=False))
def test_order_version_and_reasons_do_not_change_the_digest(shuffler: random.Random) -> None:
    changed: dict[str, Any] = {**DOCUMENT, "version": shuffler.randrange(1000)}
    for member in ("headers", "rules", "domains"):
        changed[member] = shuffler.sample(DOCUMENT[member], len(DOCUMENT[member]))
    changed["rules"] = [{**each, "reason": str(shuffler.random()), "ticket": "T-1"} for each in changed["rules"]]
    assert Policy.from_document(changed).digest == parse().digest


_CHANGES: list[dict[str, Any]] = [
    {"tables": []},
    {"tables": [{"schema": "crm", "table": "order", "default": "redact"}]},
    {"domains": []},
    {"domains": [{"name": "email", "type": "text"}]},
    {"domains": [{"name": "email", "type": "text", "fold_case": True, "per_subject": True}]},
    {"key_epoch": 2},
    {"domains": [{"name": "email", "fold_case": True}]},
    {"envelopes": []},
    {"headers": ["trace"]},
    {"headers": ["trace", "App"]},
    {"rules": []},
    *(
        {"rules": [DOCUMENT["rules"][0] | {member: value}, *DOCUMENT["rules"][1:]]}
        for member, value in [
            ("server", "other"),
            ("schema", "Crm"),
            ("table", "People"),
            ("column", "ID"),
            ("path", "$.a"),
            ("type", "int8"),
            ("method", "null"),
            ("params", {"x": 1}),
            ("classification", "identifier"),
        ]
    ),
]


@pytest.mark.parametrize("changes", _CHANGES)
def test_whatever_a_policy_decides_changes_its_digest(changes: dict[str, Any]) -> None:
    assert parse(**changes).digest != parse().digest


def test_a_digest_in_a_document_must_be_its_own() -> None:
    assert parse(digest=parse().digest) == parse()
    with pytest.raises(PolicyError, match=r"digest.*was it edited") as caught:
        parse(digest=parse().digest, headers=[])
    assert caught.value.place == "digest"


@pytest.mark.parametrize(
    "changes",
    [
        {"Rules": []},
        {"defaults": "redact"},
        {"default": "keep"},
        {"default": None},
        {"format": 2},
        {"format": "1"},
        {"version": "3"},
        {"version": -1},
        {"headers": "trace"},
        {"headers": [1]},
        {"tables": [{"schema": "s", "table": "t", "default": "keep"}]},
        {"tables": [{"schema": "s", "table": "t"}]},
        {"domains": [{"name": "d", "epoch": 1}]},
        {"domains": [{"type": "text"}]},
        {"envelopes": [{"topic": "t", "shape": "flat"}]},
        {"rules": [{"schema": "s", "table": "t", "column": "c", "method": "keep", "colunm": "d"}]},
        {"rules": [{"schema": "s", "table": "t", "column": "c"}]},
        {"rules": [{"schema": "s", "table": "t", "method": "keep"}]},
        {"rules": [{"schema": "s", "table": "t", "column": "c", "method": "keep", "params": []}]},
        {"rules": [{"schema": "s", "table": None, "column": "c", "method": "keep"}]},
        {"rules": {}},
    ],
)
def test_an_unknown_or_misspelt_member_is_refused(changes: dict[str, Any]) -> None:
    for document in (DOCUMENT | changes, json.dumps(DOCUMENT | changes).encode()):
        with pytest.raises(PolicyError) as caught:
            Policy.from_document(document)
        assert caught.value.place == "document"


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"{}{}", b'{"headers":["\xff"]}', b"\xff", b'"secret"'])
def test_a_text_that_is_no_document_is_refused(text: bytes) -> None:
    with pytest.raises(PolicyError, match="policy: document: ") as caught:
        Policy.from_document(text)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("member", ["tables", "domains", "envelopes", "headers", "rules"])
def test_what_is_decided_twice_is_refused_even_if_equal(member: str) -> None:
    with pytest.raises(PolicyError, match="is decided twice"):
        parse(**{member: [*DOCUMENT[member], DOCUMENT[member][0]]})


def test_one_thing_decided_in_two_ways_is_refused_by_name() -> None:
    with pytest.raises(PolicyError, match=r"rule shop:crm\.people\.id: is decided twice"):
        parse(rules=[*DOCUMENT["rules"], {**DOCUMENT["rules"][1], "method": "keep"}])
    with pytest.raises(PolicyError, match="domains 'email'"):
        parse(domains=[{"name": "email"}, {"name": "email", "type": "text"}])


def test_a_number_that_json_cannot_carry_exactly_has_no_digest() -> None:
    for value in (2**60, float("nan")):
        with pytest.raises(PolicyError, match="write it as a string"):
            _ = Policy.of(1, rules=[rule("c", "fixed", value=value)]).digest


def test_the_key_epoch_is_what_was_decided() -> None:
    assert EMPTY.key_epoch == 1
    assert parse(key_epoch=4).key_epoch == 4
    assert parse(key_epoch=4).digest != parse().digest


def test_a_key_epoch_counts_from_one() -> None:
    with pytest.raises(PolicyError, match="key_epoch"):
        parse(key_epoch=0)


@pytest.mark.parametrize(
    ("policy", "place"),
    [
        (Policy.of(1, rules=[rule("c", "keep", type="txt")]), "rule crm.people.c"),
        (Policy.of(1, rules=[rule("c", "truncate", length=-1)]), "rule crm.people.c"),
        (Policy.of(1, rules=[rule("c", "hide")]), "rule crm.people.c"),
        (Policy.of(1, rules=[Rule(schema="s", table="t", column="c", path="$.a", method="nul")]), "rule s.t.c$.a"),
        (Policy.of(1, rules=[Rule(server="v", schema="s", table="t", column="c", method="")]), "rule v:s.t.c"),
        (Policy.of(1, domains=[Domain(name="email", type="txt")]), "domain email"),
        (Policy.of(1, headers=["__debezium.newkey"]), "header __debezium.newkey"),
        (Policy.of(1, headers=["__debezium.oldkey"]), "header __debezium.oldkey"),
        (Policy.of(1, headers=["cdc-masker"]), "header cdc-masker"),
    ],
)
def test_what_cannot_be_carried_out_is_refused_with_its_place(policy: Policy, place: str) -> None:
    with pytest.raises(PolicyError) as caught:
        check(policy)
    assert caught.value.place == place
    with pytest.raises(PolicyError):
        Masker(policy, KEYS)


def test_each_member_of_the_format_can_be_used() -> None:
    check(
        Policy.of(
            1,
            rules=[rule("c", "keep", type="text")],
            tables=[TableDefault(schema="s", table="t", default="redact")],
            domains=[Domain(name="email")],
            envelopes=[EnvelopeShape(topic="t", shape="debezium")],
            headers=["__debezium.context.runId"],
        )
    )


def _masked(policy: Policy, **place: str) -> Any:
    event = change(after={"id": 5}) | {"source": source(**place)}
    outcome: Outcome = Masker(policy, KEYS).mask(record(event))
    return payload(outcome.value)["after"]["id"]


def test_a_rule_for_one_server_goes_before_one_for_all() -> None:
    policy = parse(domains=[])
    assert _masked(policy) == 0
    assert _masked(policy, name="elsewhere") == 5


@pytest.mark.parametrize(
    "place", [{"schema": "CRM"}, {"table": "People"}, {"table": "people "}, {"schema": '"crm"'}, {"name": "SHOP"}]
)
def test_names_match_exactly(place: dict[str, str]) -> None:
    only_here = Rule(server="shop", schema="crm", table="people", column="id", method="keep")
    policy = Policy.of(1, rules=[only_here])
    assert _masked(policy) == 5
    assert _masked(policy, **place) is None


def test_a_column_name_matches_exactly() -> None:
    outcome = Masker(Policy.of(1, rules=[rule("id", "keep")]), KEYS).mask(
        record(change(after={"id": 1, "ID": 2, "id ": 3, "íd": 4}))
    )
    assert payload(outcome.value)["after"] == {"id": 1, "ID": None, "id ": None, "íd": None}


def test_a_member_that_stands_twice_is_refused() -> None:
    """Of two decisions about one thing a parser would take one, and nobody would know which."""
    rule = b'{"schema":"crm","table":"customers","column":"email","method":"keep","method":"redact"}'
    with pytest.raises(PolicyError, match="'method' stands twice"):
        Policy.from_document(b'{"rules":[' + rule + b"]}")


def test_a_method_must_fit_the_type_that_the_rule_declares() -> None:
    with pytest.raises(PolicyError, match=r"crm\.customers\.age.*truncate"):
        check(
            Policy.of(
                1,
                rules=[
                    Rule(schema="crm", table="customers", column="age", type="int", method="truncate", params={"length": 1})
                ],
            )
        )


def test_a_key_epoch_changes_all_tokens() -> None:
    rules = [
        Rule(schema="crm", table="people", column=name, method="tokenize", params={"domain": name}) for name in ("one", "other")
    ]
    keys = Keyring.of([RootKey(id=str(epoch), epoch=epoch, root=bytes([epoch]) * 32) for epoch in (1, 2)])
    raw = record(change(after={"one": "x", "other": "x"}), {"id": 1})
    first, second = (
        payload(outcome.value)["after"] | payload(outcome.key)
        for epoch in (1, 2)
        for outcome in [Masker(Policy.of(1, key_epoch=epoch, rules=rules), keys).mask(raw)]
    )
    assert not set(first.values()) & set(second.values())
