"""The compiled core gives what the Python core gives, for every record there can be; and ordinary records it masks itself."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from cdc_masker_native import Cell, Row
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from cdc_masker import native
from cdc_masker.codecs.capture import decode_line
from cdc_masker.errors import Reason
from cdc_masker.events import Fate
from cdc_masker.guard import EgressGuard
from cdc_masker.methods import NO_SUBJECTS, UNCHANGED, MissingSubject
from cdc_masker.policies import EMPTY, Domain, EnvelopeShape, Policy, Rule, TableDefault
from cdc_masker.schemas import Type, to_connect
from tests.golden.cases import EXAMPLES
from tests.property.cores import PEOPLE, ROW, SHORT, Both
from tests.property.events import Case, cases
from tests.property.samples import KNOWN, SAMPLES, Sample, taken
from tests.unit.building import accepting, change, compact, described, envelope_schema, record, row_schema, rule, source

many = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
few = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))

SHOP = Policy.from_document((EXAMPLES / "shop-policy.json").read_bytes())
CAPTURES = {
    name: [*map(decode_line, (EXAMPLES / name).read_bytes().splitlines())] for name in ("shop.jsonl", "shop-schemas.jsonl")
}


def _customers(column: str, method: str, stated: str | None = None, path: str | None = None, **params: Any) -> Rule:
    return Rule(schema="crm", table="customers", column=column, type=stated, path=path, method=method, params=params)


PARTS = Policy.of(
    3,
    rules=[
        _customers("profile", "keep", path="$.n"),
        _customers("profile", "encrypt", path="$..email"),
        _customers("profile", "tokenize", path="$.contact.phones[*]"),
        _customers("tags", "drop"),
        _customers("notes", "encrypt", domain="people", subject="id"),
        _customers("created_at", "date_shift", "timestamptz", subject="id", domain="dates"),
        _customers("score", "noise", "double precision", distribution="laplace", bound=9, scale=1),
        Rule(schema="crm", table="*", column="*mail*", pattern=True, method="tokenize", params={"domain": "email"}),
    ],
    domains=[Domain(name="people", per_subject=True), Domain(name="email", type="text", fold_case=True)],
    tables=[TableDefault(schema="crm", table="orders", default="drop")],
    headers=["__debezium.context.taskId"],
)
POLICIES = pytest.mark.parametrize("policy", [SHOP, EMPTY, PARTS], ids=["shop", "empty", "parts"])


# Events of any shape, whole and damaged


@many
@given(cases())
def test_any_event_comes_out_the_same(case: Case) -> None:
    both = Both(case.policy)
    for offset in (0, 7, 8):  # also once its look is known
        both.mask(structs.replace(case.record, offset=offset))


# Values, by every method


_TYPES: dict[str, Type | None] = {"untyped": None}
_CASES = [(name, sample, taken(name, sample)) for name, samples in SAMPLES.items() for sample in samples]
_any_value = (
    st.none() | st.booleans() | st.integers(-(1 << 66), 1 << 66) | st.floats() | st.text() | st.sampled_from(["7", "007", "É"])
)


@pytest.mark.parametrize(
    ("name", "sample", "types"), _CASES, ids=[f"{name}-{list(one.params.values())}" for name, one, _ in _CASES]
)
@few
@given(st.data())
def test_every_method_comes_out_the_same(name: str, sample: Sample, types: dict[str, Type], data: st.DataObject) -> None:
    """On columns of every type, described or not, with values of the type and others, in rows and keys."""
    type_ = data.draw(st.none() | st.sampled_from([*types.values()]))
    of_type = sample.texts if type_ is None else sample.values(type_)
    rules = [rule("c", name, type=sample.stated, **sample.params), rule("id", "keep")]
    both = Both(Policy.of(1, rules=accepting(*[_small(each) for each in rules])), known=KNOWN)
    for value in data.draw(st.lists(of_type | _any_value, min_size=1, max_size=4)):
        row = {"c": value, "id": 7}
        key: Any = {"c": value} if data.draw(st.booleans()) else {"id": 7}
        event: Any = change(before=row, after=row)
        if type_ is not None:
            schemas = {"c": to_connect(type_), "id": {"type": "int32"}}
            event = described(envelope_schema(schemas), event)
            key = described(row_schema({each: schemas[each] for each in key}, "Key"), key)
        both.mask(record(event, key))


def _small(one: Rule) -> Rule:
    return msgspec.structs.replace(one, allow_small_domain=True, reason="a test")


_DOMAINS = [
    Domain(name="folded", type="text", fold_case=True),
    Domain(name="text", type="text"),
    Domain(name="uuid", type="uuid"),
    Domain(name="int4", type="int4"),
    Domain(name="int8", type="int8"),
    Domain(name="numeric", type="numeric"),
    Domain(name="free"),
]
_LIMITS = [edge + step for edge in (0, 1 << 31, -(1 << 31), 1 << 63, -(1 << 63), 1 << 64) for step in (-1, 0, 1)]
_VALUES: list[Any] = [
    *_LIMITS, -0.0, 1.0, 1.5, 1e300, True, None, "", "a", "É", "e\u0301", "Straße", "A b", '"', "\\", "\n", "\x7f",
    "7", "-7", "007",
    "93370F70-9f20-4a82-89ba-0f80e2dd4f58", "93370f709f204a8289ba0f80e2dd4f58", "93370f70-9f20-4a82-89ba-0f80e2dd4f5g",
    [], {}, [1],
]  # fmt: skip


@pytest.mark.parametrize("domain", [None, *(domain.name for domain in _DOMAINS)])
@pytest.mark.parametrize("stated", [None, "text", "uuid", "int2", "int4", "int8", "numeric", "float8", "enum"])
def test_tokens_in_every_domain_come_out_the_same(domain: str | None, stated: str | None) -> None:
    params = {} if domain is None else {"domain": domain}
    try:
        both = Both(Policy.of(1, rules=[_small(rule("c", "tokenize", type=stated, **params))], domains=_DOMAINS))
    except Exception:  # noqa: BLE001  # such a column has no form in that domain
        return
    both.mask(*(record(change(after={"c": value}), {"c": value}, offset=number) for number, value in enumerate(_VALUES)))
    raw = [b"-0", b"0", b"1e2", b"10E-1", b"12345678901234567890", *UNCHANGED, b'"\\u0041"', b'"\\/"', b'"\\\\"']
    texts = [compact(change(after={"c": "?"})).encode().replace(b'"?"', text) for text in raw]
    both.mask(*(record(text, offset=number) for number, text in enumerate(texts)))


# Captures


@POLICIES
@pytest.mark.parametrize("name", CAPTURES)
@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "one by one"])
def test_captures_come_out_the_same(name: str, policy: Policy, together: bool) -> None:
    both, records = Both(policy, max_record_bytes=30_000), CAPTURES[name]
    if together:
        both.mask(*records)
    for each in records if not together else ():
        both.mask(each)


@POLICIES
@pytest.mark.parametrize("name", CAPTURES)
def test_ordinary_records_are_masked_by_the_compiled_core(name: str, policy: Policy) -> None:
    """Else a core that does nothing would pass all other tests."""
    both = Both(policy)
    rows = [each for each in CAPTURES[name] if each.topic.startswith("shop.crm.")]
    masked = [Fate.MASKED in both.mask(each).fates for each in rows]
    assert sum(masked) > 60
    assert both.own(rows) == masked


@pytest.mark.parametrize("described_key", [True, False])
@pytest.mark.parametrize(
    "other", [b'{"id":8}', b'{"id":8.5}', b'{"other":1}', b'{"id":8,"other":1}', b"{}", b"[]", b"x", b"\xff", None]
)
def test_changed_keys_come_out_the_same(other: bytes | None, described_key: bool) -> None:
    both = Both(Policy.of(1, rules=[rule("id", "tokenize", type="int8")]))
    schema = row_schema({"id": {"type": "int64"}}, "Key")
    for name in ("__debezium.newkey", "__debezium.oldkey"):
        for text in (other, other and b'{"schema":' + compact(schema).encode() + b',"payload":' + other + b"}"):
            key = described(schema, {"id": 7}) if described_key else {"id": 7}
            headers = (("a", b"x"), (name, text), (name, text))
            for value in (change("u", after=ROW), None):
                both.mask(record(value, key, headers=headers))
            both.mask(record(change("u", after=ROW), headers=headers))


# Headers, sizes, tombstones


@many
@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", "é", "__debezium.oldkey"]), st.none() | st.sampled_from([b"", b"x", b"{}"])))
)
def test_headers_come_out_the_same(headers: list[tuple[str, bytes | None]]) -> None:
    policy = Policy.of(1, rules=PEOPLE.rules, headers=["a", "é"])
    Both(policy).mask(
        structs.replace(SHORT, headers=tuple(headers)), structs.replace(SHORT, value=None, offset=42, headers=tuple(headers))
    )


def test_a_record_is_as_large_as_it_may_be() -> None:
    fates = set()
    for size in range(600, 1000, 7):
        fates |= {*Both(PEOPLE, max_record_bytes=size).mask(SHORT).fates}
    assert fates == {Fate.MASKED, Fate.QUARANTINED}


def test_records_of_another_table_in_the_same_topic_have_their_own_plans() -> None:
    both = Both(PEOPLE)
    other = record(change("u", source=source("others"), after=ROW), {"id": 7}, offset=50)
    assert both.own([SHORT, other]) == [True, True]
    both.mask(SHORT, other, structs.replace(SHORT, offset=51), structs.replace(SHORT, value=None, offset=52))


def test_each_topic_has_its_own_plans() -> None:
    """An undecided key gets tokens of its topic's own."""
    both = Both(EMPTY)
    for topic in ("shop.crm.people", "shop.crm.peoplf", "shop.crm.people"):
        both.mask(structs.replace(SHORT, topic=topic), structs.replace(SHORT, topic=topic, value=None, offset=42))


def test_what_is_learned_is_forgotten_when_it_is_too_much() -> None:
    both = Both(EMPTY)
    for number in range(20):
        schema = {**envelope_schema({"id": {"type": "int32"}}), "doc": f"{number}" * (1 << 20)}
        both.mask(record(described(schema, change(after={"id": number}))))


def test_topics_of_other_shapes_are_left_to_python() -> None:
    shapes = [EnvelopeShape(topic="flat", shape="flattened", schema="crm", table="people")]
    both = Both(Policy.of(1, rules=PEOPLE.rules, envelopes=[*shapes, EnvelopeShape(topic="signals", shape="signals")]))
    for topic in ("flat", "signals"):
        here = structs.replace(SHORT, topic=topic)
        assert both.own([here, structs.replace(here, value=None)]) == [False, False]
        both.mask(here, structs.replace(here, value=None, offset=42), record(ROW, {"id": 7}, topic=topic, offset=43))


def test_rows_keep_the_shape_in_which_their_topic_began() -> None:
    began = Policy.of(1, rules=[rule("email", "keep"), rule("name", "drop")])
    both = Both(Policy.of(2, rules=PEOPLE.rules), began=began)
    assert both.own([SHORT]) == [True]
    both.mask(SHORT)


def test_subjects_without_a_key_are_asked_for_by_both() -> None:
    asked: dict[str, list[str]] = {"python": [], "native": []}

    class Nobody:
        def __init__(self, core: str) -> None:
            self.core = core

        def key(self, domain: str, subject: str, *_: object) -> bytes:
            asked[self.core].append(subject)
            raise MissingSubject

    both = Both(PARTS)
    records = [each for each in CAPTURES["shop.jsonl"] if each.topic == "shop.crm.customers"]
    for core, masker in (("python", both.python), ("native", both.native)):
        with pytest.raises(MissingSubject):
            masker.mask_batch(records, Nobody(core))
    assert {*asked["python"]} == {*asked["native"]} != set()


def test_a_batch_is_given_once_and_only_if_each_step_ended() -> None:
    """Else what was masked before would be missing from it, and counted all the same."""

    class Ends(BaseException):
        pass

    class Ending:
        def key(self, *_: object) -> bytes:
            raise Ends

    records = [each for each in CAPTURES["shop.jsonl"] if each.topic == "shop.crm.customers"]
    masker = Both(PARTS).native
    interrupted = masker.begin(records)
    with pytest.raises(Ends):
        interrupted.go_on(interrupted.left, Ending())
    given = masker.begin(records)
    given.go_on(given.left, NO_SUBJECTS)
    given.batch()
    for masking in (interrupted, given):
        with pytest.raises(ValueError, match="did not end"):
            masking.batch()


# The guard


_EMAIL = compact(ROW["email"]).encode()


@pytest.mark.parametrize("column", ["email", "ref", "gone", "other", "name", "id"])
def test_what_a_wrong_compiled_core_shows_is_found_by_its_guard(column: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that writes the raw e-mail address into a column, for `id` into the key, too. Python masks the record then."""
    both = Both(PEOPLE)
    assert both.own([SHORT]) == [True]
    wrong = Cell.constant(_EMAIL)

    def row(plan: Any) -> Any:
        columns = native._columns(plan)
        made = [(name, b'"%s":' % name, wrong if name == column.encode() else cell, told) for name, _, cell, told in columns]
        return Row(made, plan.treatment)

    monkeypatch.setattr(native, "_row", row)
    both = Both(PEOPLE)
    assert both.own([SHORT]) == [False]
    both.mask(SHORT)
    assert Both(PEOPLE, guard=EgressGuard(every=2)).own([SHORT, structs.replace(SHORT, offset=42)]) == [True, False]


@pytest.mark.parametrize(
    "text",
    [
        *(b'0,"id":0', b'0},"after":{"id":7', b'0},"before":{"id":7', b'0},"x":0,"after":{"id":7', b"0}}", b"{", b'"'),
        *(b"7 ", b" 7", b'"7" ', b'"7""7"', b'7"7"', b"[7]7", b"{} "),
    ],
)
def test_a_row_that_a_wrong_compiled_core_breaks_out_of_is_found_by_its_guard(
    text: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def row(plan: Any) -> Any:
        columns = native._columns(plan)
        return Row([(name, label, Cell.constant(text), told) for name, label, _, told in columns], plan.treatment)

    row_of = native._row
    monkeypatch.setattr(native, "_row", lambda plan: row(plan) if len(plan.transforms) == 1 else row_of(plan))
    both = Both(Policy.of(1, rules=[rule("id", "keep")]))
    key = {"id": 7, "more": 1}
    broken = [
        record(change("u", before={"id": 7}, after={"id": 7, "other": 8}), key),
        record(change("c", after={"id": 7}), key),
    ]
    assert both.own(broken) == [False, False]
    both.mask(*broken)


_LONG = st.sampled_from(["a text of some length", "another text of length", "short", "2026-11-21T06:21:11.496231Z"])


@many
@given(
    st.fixed_dictionaries(
        {name: _LONG | st.none() | st.integers(10**15, 10**16) for name in ("email", "name", "code", "other", "place")}
    )
)
def test_what_the_guard_finds_comes_out_the_same(row: dict[str, Any]) -> None:
    """A text that is kept or shown in one column and masked in another one."""
    rules = [
        rule("name", "truncate", length=40),
        rule("code", "partial", first=3),
        rule("place", "keep"),
        rule("email", "fixed", value="short"),
    ]
    batch = Both(Policy.of(1, rules=rules)).mask(record(change("u", before=row, after=row), {"other": 1}))
    assert {note.reason for note in batch.notes} <= {Reason.EGRESS_GUARD}
