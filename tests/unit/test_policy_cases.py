"""Tests of policies in YAML: what holds is told to hold, what doesn't without a value, and nothing is half understood."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_masker.cases import Case, read_cases, run
from cdc_masker.cases.values import decode, printable
from cdc_masker.errors import PolicyError
from cdc_masker.policies import Domain, EnvelopeShape, Policy, Rule
from tests.unit.building import rule

CANARY = "canary-8c1f2e"
PROFILE = f'{{"contact":{{"mail":"{CANARY}"}},"phones":["+1 {CANARY}","+2 {CANARY}"],"size":1.10}}'
RULES = [
    rule("id", "keep"),
    rule("mail", "tokenize", type="text", domain="mail"),
    rule("login", "tokenize", type="text", domain="login"),
    rule("name", "partial", first=1),
    rule("note", "fixed", value="[gone]"),
    rule("secret", "drop"),
    rule("born", "redact", type="date"),
    rule("level", "noise", type="integer", distribution="uniform", bound=1000),
    rule("contact", "tokenize", type="text", domain="mail", table="orders"),
    *(
        Rule(schema="crm", table="people", column="profile", type="jsonb", path=path, method=method)
        for path, method in {"$.contact.mail": "tokenize", "$.phones[*]": "null", "$.size": "keep"}.items()
    ),
]
ROW: dict[str, Any] = {
    "id": 7,
    "mail": CANARY,
    "login": CANARY,
    "name": CANARY,
    "note": CANARY,
    "secret": CANARY,
    "born": 7305,
    "level": 5,
    "profile": PROFILE,
    "unknown": CANARY,
}


def policy(*rules: Rule, **more: Any) -> Policy:
    return Policy.of(1, rules=rules or RULES, **more)


def case(expect: str, *, row: str | None = None, name: str = "one", table: str = "crm.people", more: str = "") -> str:
    """A case in YAML; rows are JSON, which is YAML."""
    text = row or json.dumps(ROW)
    return f"- case: {name}\n  table: {table}\n  row: {text}\n  {expect}\n{more}"


def read(text: str) -> tuple[Case, ...]:
    return read_cases("people.yaml", text.encode())


def told(text: str, under: Policy | None = None) -> list[str | None]:
    """The problems of all expectations, in order; None for one that holds."""
    found = run(under or policy(), read(text))
    for each in found:
        assert CANARY not in (each.problem or "")
        assert each.where.startswith("people.yaml:")
    return [each.problem for each in found]


def told_of(column: str, expected: str, under: Policy | None = None) -> str | None:
    (problem,) = told(case(f"expect: {{{column!r}: {expected}}}"), under)
    return problem


HOLDS = [
    ("id", "kept"),
    ("id", "{equals: 7}"),
    ("id", "{equals: 7.0, matches: '[0-9]'}"),
    ("mail", "token"),
    ("mail", "masked"),
    ("mail", "{is: token, matches: '[0-9a-f]{32}'}"),
    ("mail", "{unlike: {case: one, column: login}}"),
    ("mail", "{same_as: {case: one, column: mail}}"),
    ("name", "masked"),
    ("name", "{matches: 'c[*]+'}"),
    ("note", "masked"),
    ("note", "{equals: '[gone]'}"),
    ("secret", "dropped"),
    ("born", "redacted"),
    ("born", "{equals: 0}"),
    ("level", "masked"),
    ("unknown", "redacted"),
    ("unknown", "null"),
    ("unknown", "{is: null, equals: null}"),
    ("profile$.contact.mail", "token"),
    ("profile$.phones[*]", "null"),
    ("profile$.size", "kept"),
    ("profile$.size", "{equals: 1.1, matches: '1[.]10'}"),
    ("profile$.other", "dropped"),
    ("profile", "{matches: '.*\"size\":1[.]10}'}"),
]


@pytest.mark.parametrize(("column", "expected"), HOLDS)
def test_what_holds_is_told_to_hold(column: str, expected: str) -> None:
    assert told_of(column, expected) is None


FAILS = [
    ("id", "masked", "it is the value as it was"),
    ("id", "token", "it is the value as it was"),
    ("id", "redacted", "it is the value as it was"),
    ("id", "null", "it is the value as it was"),
    ("id", "dropped", "it is the value as it was"),
    ("id", "{equals: '7'}", 'expected "7"'),
    ("id", "{equals: true}", "expected true"),
    ("id", "{matches: '[0-9]{2}'}", "expected what matches"),
    ("mail", "kept", 'expected kept, but it is "'),
    ("mail", "redacted", "expected redacted"),
    ("mail", "null", "expected null"),
    ("mail", "{same_as: {case: one, column: login}}", "the same as login of 'one'"),
    ("mail", "{unlike: {case: one, column: mail}}", "another one than mail of 'one', but it is the same"),
    ("mail", "{unlike: {case: one, column: secret}}", "another one than secret of 'one', but that is not there"),
    ("mail", "{unlike: {case: one, column: unknown}}", "another one than unknown of 'one', but that is null"),
    ("secret", "{unlike: {case: one, column: mail}}", "another one than mail of 'one', but it is not there"),
    ("unknown", "{unlike: {case: one, column: mail}}", "another one than mail of 'one', but it is null"),
    ("name", "token", "the same under another key"),
    ("note", "token", "the same under another key"),
    ("note", "redacted", '"[gone]"'),
    ("secret", "null", "it is not there"),
    ("secret", "redacted", "it is not there"),
    ("secret", "masked", "it is not there"),
    ("secret", "{equals: null}", "it is not there"),
    ("secret", "{matches: '.*'}", "it is not there"),
    ("level", "token", "in another record it would be another one"),
    ("unknown", "masked", "it is null"),
    ("unknown", "token", "it is null"),
    ("unknown", "dropped", "it is null"),
    ("unknown", "kept", "the policy says: undecided (redact)"),
    ("unknown", "{same_as: {case: one, column: unknown}}", "that is null"),
    ("mail", "{same_as: {case: one, column: secret}}", "that is not there"),
    ("profile$.contact.mail", "kept", "expected kept"),
    ("profile$.phones[*]", "masked", "it is null"),
    ("profile$.other", "kept", "it is not there"),
    ("profile", "{equals: {size: 1.1}}", "expected {"),
]


@pytest.mark.parametrize(("column", "expected", "problem"), FAILS)
def test_what_does_not_hold_is_told_and_no_value(column: str, expected: str, problem: str) -> None:
    assert problem in (told_of(column, expected) or "")


def test_the_rule_that_decides_is_told() -> None:
    assert (told_of("name", "kept") or "").endswith("; the policy says: partial(first=1)")


def test_all_that_is_expected_of_a_value_has_to_hold() -> None:
    problem = told_of("mail", "{is: kept, equals: 5, matches: x, same_as: {case: one, column: login}}") or ""
    assert problem.count("; expected") == 3


def test_json_in_a_text_is_compared_as_json_with_what_is_no_text() -> None:
    kept = policy(rule("profile", "keep"))
    assert told_of("profile", "{equals: {size: 1.1, contact: {mail: x}, phones: []}}", kept) is not None
    row = json.dumps({"profile": '{"a": [1, {"b": null}]}'})
    assert told(case("expect: {profile: {equals: {a: [1, {b: null}]}}}", row=row), kept) == [None]
    assert told(case("expect: {profile: {equals: [1]}}", row=json.dumps({"profile": "no json"})), kept) != [None]


def test_numbers_of_any_exponent_are_compared() -> None:
    huge = "1e99999999999999999999"
    under, row = policy(rule("n", "keep")), f"{{n: {huge}}}"
    assert told(case(f"expect: {{n: {{is: kept, equals: {huge}}}}}", row=row), under) == [None]
    assert told(case("expect: {n: {equals: 1}}", row=row), under) != [None]


def test_rows_of_two_tables_join_where_they_should() -> None:
    order = case(
        "expect: {contact: {is: token, same_as: {case: one, column: mail}, unlike: {case: one, column: login}}}",
        row=json.dumps({"contact": CANARY}),
        name="order",
        table="crm.orders",
    )
    assert told(case("expect: {mail: token}", more=order)) == [None, None]
    other = order.replace(CANARY, "another")
    assert (told(case("expect: {mail: token}", more=other))[1] or "").startswith("expected the same as mail of 'one', \"")


def test_a_column_of_the_key_that_nobody_decided_on_is_a_token() -> None:
    text = case("key: [unknown]\n  expect: {unknown: token, id: kept}")
    assert told(text) == [None, None]


def test_rules_of_one_server_are_tested_with_its_name() -> None:
    here = Rule(server="shop", schema="crm", table="people", column="id", method="keep")
    assert told(case("server: shop\n  expect: {id: kept}"), policy(here)) == [None]
    assert told(case("expect: {id: kept}"), policy(here)) != [None]


def test_names_of_tables_are_written_as_in_sql() -> None:
    capital = Rule(schema="Crm", table="My People", column="id", method="keep")
    assert told(case("expect: {id: kept}", table='\'"Crm"."My People"\''), policy(capital)) == [None]


def test_a_subjects_own_keys_are_there() -> None:
    own = Rule(
        schema="crm", table="people", column="mail", method="tokenize", type="text", params={"domain": "d", "subject": "id"}
    )
    under = policy(own, domains=[Domain(name="d", per_subject=True)])
    other = case("expect: {mail: {unlike: {case: one, column: mail}}}", row=json.dumps(ROW | {"id": 8}), name="other")
    same = case("expect: {mail: {same_as: {case: one, column: mail}}}", name="same")
    assert told(case("expect: {mail: token}", more=other + same), under) == [None, None, None]


STRICT = Rule(schema="crm", table="people", column="mail", type="bigint", method="tokenize", strict=True)


def test_quarantine_is_expected_with_its_reason() -> None:
    assert told(case("quarantined: unmaskable"), policy(STRICT)) == [None]
    (problem,) = told(case("quarantined: undecided"), policy(STRICT))
    assert problem == "expected quarantined (undecided), but it is quarantined: unmaskable at after.mail"
    (problem,) = told(case("quarantined: unmaskable"))
    assert problem == "expected quarantined (unmaskable), but the record is masked"


def test_a_record_that_is_quarantined_fails_its_case_and_those_that_refer_to_it() -> None:
    more = case(
        "expect: {login: {same_as: {case: one, column: login}}, name: redacted}", row='{"login": x, "name": y}', name="more"
    )
    problems = told(case("expect: {id: kept, login: token}", more=more), policy(STRICT))
    assert problems == [
        "the record is quarantined: unmaskable at after.mail",
        "can't be compared with 'one', whose record is quarantined",
        None,
    ]


def test_a_topics_shape_makes_no_difference() -> None:
    shapes = [EnvelopeShape(topic="server.crm.people", shape="flattened")]
    assert told(case("expect: {id: kept}"), policy(*RULES, envelopes=shapes)) == [None]


def test_the_example_of_the_documentation_holds() -> None:
    page = (Path(__file__).parents[2] / "docs" / "policies.md").read_text()
    rules = [
        *(Rule(schema="crm", table="customers", column=each, method="keep") for each in ("id", "profile")),
        rule("phone", "partial", table="customers", last=2),
        *(
            Rule(schema="crm", table=table, column=column, path=path, type=type_, method="tokenize", params={"domain": "email"})
            for table, column, path, type_ in (
                ("customers", "email", None, "text"),
                ("customers", "profile", "$.contact.email", "jsonb"),
                ("orders", "customer_email", None, "text"),
            )
        ),
    ]
    rules[1] = msgspec.structs.replace(rules[1], type="jsonb")
    assert told(page.split("```yaml\n")[1].split("```")[0], policy(*rules)) == [None] * 7


def test_results_are_the_same_each_time() -> None:
    text = case("expect: {mail: kept, login: kept, level: {equals: 99}}")
    assert told(text) == told(text)


def test_a_problem_has_the_place_of_what_was_expected() -> None:
    text = case("expect:\n    id: kept\n    mail: kept")
    assert [result.where for result in run(policy(), read(text))] == ["people.yaml:5:9", "people.yaml:6:11"]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("no", "no"),
        ("yes", "yes"),
        ("True", "True"),
        ("2020-01-01", "2020-01-01"),
        ("12:30:00", "12:30:00"),
        ("01234", "01234"),
        ("+1", "+1"),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        (".5", ".5"),
        ("'5'", "5"),
        ("null", None),
        ("~", None),
        ("true", True),
        ("'null'", "null"),
    ],
)
def test_values_are_read_as_in_json(written: str, value: Any) -> None:
    (read_case,) = read(case("expect: {b: kept}", row=f"{{a: {written}, b: x}}"))
    assert decode(read_case.row["a"]) == value


@pytest.mark.parametrize("number", ["0", "-7", "1.10", "123456789012345678901234567890", "1e400", "-0.0"])
def test_numbers_keep_their_text(number: str) -> None:
    (read_case,) = read(case("expect: {a: kept}", row=f"{{a: {number}}}"))
    assert read_case.row["a"] == number.encode()


REFUSED = [
    ("", "people.yaml: holds no case"),
    ("{}", "people.yaml:1:1: has to be a list of cases"),
    ("[]", "people.yaml:1:1: has to be a list of cases"),
    ("- x", "people.yaml:1:3: has to be a mapping"),
    ("- case: [", "people.yaml:1:10"),
    ("a: b: c", "people.yaml:1:5"),
    ("- 1\n---\n- 2", "people.yaml:2:1"),
    ("\x00", "people.yaml: can't be read as YAML"),
    ("[" * 5000, "people.yaml: can't be read as YAML"),
    ("- &a {case: x}", "people.yaml:1:3: anchors are not taken"),
    ("- case: &a x", "anchors are not taken"),
    ("- !!str x", "people.yaml:1:3: tags are not taken"),
    ('- case: "\\ud800"', "people.yaml:1:9: holds half a character"),
    ("- case: x\n  case: y", "people.yaml:2:3: 'case' stands twice"),
    ("- case: x\n  tabel: y", "people.yaml:2:3: there is no member 'tabel'"),
    ("- case: x", "people.yaml:1:3: member 'table' is missing"),
    ("- [case]: x", "a name has to be a text"),
    (case("expect: {id: kept}", table="Crm.people"), "people.yaml:2:10: table 'Crm.people': put a name with capitals"),
    (case("expect: {id: kept}", table="people"), "people.yaml:2:10: table 'people': write schema.table"),
    (case("expect: {id: kept}", name="''"), "people.yaml:1:9: has to be a text"),
    (case("expect: {id: kept}", row="{}"), "people.yaml:3:8: the row has no column"),
    (case("expect: {id: kept}", row="{id: {a: 1, a: 2}}"), "people.yaml:3:20: 'a' stands twice"),
    (case("key: [id]"), "people.yaml:1:3: a case has either expect, or quarantined"),
    (case("quarantined: undecided\n  expect: {id: kept}"), "a case has either expect, or quarantined"),
    (case("quarantined: none"), "people.yaml:4:16: has to be one of not_utf8"),
    (case("key: [ID]\n  expect: {id: kept}"), "people.yaml:4:9: the row has no column 'ID'"),
    (case("key: id\n  expect: {id: kept}"), "people.yaml:4:8: has to be a list of columns"),
    (case("expect: {}"), "people.yaml:4:11: nothing is expected"),
    (case("expect: {id: {}}"), "people.yaml:4:16: nothing is expected"),
    (case("expect: {ID: kept}"), "people.yaml:4:16: the row has no column 'ID'"),
    (case("expect: {id: same}"), "people.yaml:4:16: has to be one of kept, masked, token, null, redacted, dropped; a value"),
    (case("expect: {id: [kept]}"), "people.yaml:4:16: has to be a mapping; there are is, equals"),
    (case("expect: {id: {equal: 7}}"), "people.yaml:4:17: there is no member 'equal'"),
    (case("expect: {id: {matches: '('}}"), "people.yaml:4:26: is no regular expression"),
    (case("expect: {id: {same_as: mail}}"), "people.yaml:4:26: has to be a mapping; there are case, column"),
    (case("expect: {id: {same_as: {case: two, column: id}}}"), "people.yaml:4:33: there is no case 'two' in this file"),
    (case("expect: {id: {unlike: {case: one, column: ID}}}"), "the row has no column 'ID'"),
    (case("expect: {'id$': kept}"), "the path names the whole column"),
    (case("expect: {'id$.a[0]': kept}"), "the path can't be read from its character 4 on"),
    (case("expect: {id$..a: kept}"), "here a path is made of"),
    (case("expect: {id$.a~: kept}"), "here a path is made of"),
    (case("expect: {id: kept}", row="{id: null}"), "people.yaml:4:16: the row's id is null, which tells nothing"),
    (case("expect: {id: kept}", more=case("expect: {id: kept}")), "people.yaml:5:3: case 'one' stands twice"),
]


@pytest.mark.parametrize(("text", "problem"), REFUSED)
def test_what_is_not_understood_is_refused_with_its_place(text: str, problem: str) -> None:
    with pytest.raises(PolicyError) as refused:
        read(text)
    assert problem in str(refused.value)
    assert CANARY not in str(refused.value)


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(PolicyError, match="can't be read as YAML"):
        read_cases("people.yaml", b"\xff")


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        assert read_cases("people.yaml", text.encode(errors="replace"))
    except PolicyError as error:
        assert str(error).startswith("policy: people.yaml")


@given(st.text())
def test_what_is_printed_is_printable_and_short(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown) <= 80
