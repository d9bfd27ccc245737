"""`date_shift`: one shift for all dates of a subject, another one for others, and none that a known date would tell."""

from __future__ import annotations

import hmac
import json
from collections import Counter
from datetime import date, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_masker import methods
from cdc_masker.engine import check
from cdc_masker.errors import PolicyError, Reason
from cdc_masker.events import Fate
from cdc_masker.keys import new_keyring
from cdc_masker.kinds import Kind
from cdc_masker.methods import Column, Context, Contextual, Keys, Misfit, MissingSubject, Subjects, Unmaskable
from cdc_masker.methods.base import NO_SUBJECTS, Erased
from cdc_masker.methods.shift import DateShift
from cdc_masker.methods.subjects import derived
from cdc_masker.methods.times import DAY, limits, rewriting
from cdc_masker.pipeline import Masker
from cdc_masker.policies import Domain, Policy
from cdc_masker.schemas import Type, from_postgres
from tests.unit.building import KEYS, accepting, change, described, envelope_schema, masker, payload, record, rule
from tests.unit.columns import by_kind, values
from tests.unit.connect_json import misfits
from tests.unit.partially import TEXT, problem

DATE = from_postgres("date")
COLUMNS = by_kind(Kind.DATE, Kind.TIMESTAMP)
PER_SUBJECT = Domain(name="dates", per_subject=True)
LEAP_DAY = 19782  # 2024-02-29


def context(subjects: Subjects = NO_SUBJECTS, **row: Any) -> Context:
    return Context("t", 0, 1, subjects, row={name: msgspec.Raw(msgspec.json.encode(value)) for name, value in row.items()})


def shifted(
    value: Any, around: Context, type_: Type | None = DATE, *, own: str = "own", epoch: int = 1, keys: Keys = KEYS,
    declared: Domain | None = None, **params: Any,
) -> Any:  # fmt: skip
    column = Column(
        place="c", type=type_, domain=own, epoch=epoch, declared={} if declared is None else {declared.name: declared}
    )
    transform = methods.build(rule("c", "date_shift", **{"subject": "id", "domain": "dates", **params})).compile(column, keys)
    assert isinstance(transform, Contextual)
    assert not transform.may_return_input
    return transform.function(value, around)


def shift(subject: Any, **how: Any) -> int:
    found: int = shifted(LEAP_DAY, context(id=subject), **how)
    return found - LEAP_DAY


def test_the_shift_is_the_hmac_of_the_subject_modulo_its_range() -> None:
    key = KEYS.derive("date_shift", "dates", 1)
    for subject in range(50):
        digest = hmac.new(key, b"\0\0\0\5dates" + str(subject).encode(), "sha256").digest()
        days = int.from_bytes(digest, "big") % 367 - 183
        assert days == 0 or shift(subject) == days


def test_shifts_reach_from_end_to_end_and_are_never_0() -> None:
    found = Counter(shift(subject) for subject in range(6000))
    assert set(found) == {*range(-183, 0), *range(1, 184)}
    assert max(found.values()) < 50
    wide = {shift(subject, days=3650) for subject in range(2000)}
    assert max(wide) > 3500
    assert min(wide) < -3500


@pytest.mark.parametrize("name", COLUMNS)
@given(st.data())
def test_all_dates_of_a_subject_move_alike_whatever_their_representation(name: str, data: st.DataObject) -> None:
    type_ = COLUMNS[name]
    value = data.draw(values(type_))
    before: list[int] = []

    def look(moment: int) -> int:
        before.append(moment)
        return moment

    rewriting(type_)(value, look)
    try:
        rewriting(type_)(shifted(value, context(id="Zoë"), type_, own="another column"), look)
    except Unmaskable as error:
        assert error.reason is Misfit.RANGE
        first, last = limits(type_)
        assert before[0] // DAY in KNOWN_DAYS or not first <= before[0] + shift("Zoë") * DAY <= last
        return
    assert before[1] - before[0] == shift("Zoë") * DAY


KNOWN = (date(1, 1, 1), date(1900, 1, 1), date(1970, 1, 1), date(9999, 12, 31))
KNOWN_DAYS = [(day - date(1970, 1, 1)).days for day in KNOWN]


@pytest.mark.parametrize("day", KNOWN)
@pytest.mark.parametrize("form", ["{}", "{}T12:34:56Z", "{} 00:00"])
def test_a_date_that_everybody_knows_would_tell_the_shift(day: date, form: str) -> None:
    for subject in range(20):
        with pytest.raises(Unmaskable) as caught:
            shifted(form.format(day.isoformat()), context(id=subject), TEXT)
        assert caught.value.reason is Misfit.RANGE


def test_domains_keys_epochs_and_subjects_have_shifts_of_their_own() -> None:
    ways: list[dict[str, Any]] = [
        {}, {"domain": "other"}, {"epoch": 2, "keys": new_keyring(2)}, {"keys": new_keyring()}, {"days": 200},
    ]  # fmt: skip
    found = [tuple(shift(subject, **how) for subject in range(10)) for how in ways]
    assert len(set(found)) == len(ways)
    assert len(set(found[0])) > 5


def test_a_subject_is_the_same_as_number_and_as_text() -> None:
    assert shift(7) == shift("7") != shift("07")


@pytest.mark.parametrize("row", [{}, {"id": None}, {"id": "__debezium_unavailable_value"}, {"id": {"a": 1}}, {"other": 7}])
def test_without_a_subject_there_is_no_shift(row: dict[str, Any]) -> None:
    with pytest.raises(Unmaskable) as caught:
        shifted(LEAP_DAY, context(**row))
    assert caught.value.reason is Misfit.SUBJECT


@pytest.mark.parametrize("value", ["canary", "2024-02-30", "infinity", 5, None, True, ["2024-02-29"]])
def test_what_is_no_date_is_refused(value: Any) -> None:
    with pytest.raises(Unmaskable):
        shifted(value, context(id=7), None)


class _Kept:
    def __init__(self, gone: type[Exception] | None = None) -> None:
        self.gone = gone

    def key(self, domain: str, subject: str, topic: str, partition: int, offset: int) -> bytes:
        if self.gone is not None:
            raise self.gone
        return bytes([len(subject)]) * 32


def test_in_a_domain_per_subject_the_key_is_the_subject_s() -> None:
    found = shifted(LEAP_DAY, context(_Kept(), id=7), declared=PER_SUBJECT)
    key = derived(b"\1" * 32, "date_shift", PER_SUBJECT, 1)
    digest = hmac.new(key, b"\0\0\0\5dates7", "sha256").digest()
    assert found - LEAP_DAY == int.from_bytes(digest, "big") % 367 - 183


@pytest.mark.parametrize(("gone", "reason"), [(Erased, Misfit.ERASED), (MissingSubject, Misfit.SUBJECT)])
def test_without_the_subject_s_key_there_is_no_shift(gone: type[Exception], reason: Misfit) -> None:
    with pytest.raises(Unmaskable) as caught:
        shifted(LEAP_DAY, context(_Kept(gone), id=7), declared=PER_SUBJECT)
    assert caught.value.reason is reason


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"domain": "dates"}, "subject"),
        ({"subject": "id"}, "domain"),
        ({"subject": "id", "domain": "dates", "days": 182}, "days"),
        ({"subject": "", "domain": "dates"}, "subject"),
        ({"subject": "id", "domain": "dates", "type": "integer"}, "can't be used on a column of this type"),
        ({"subject": "id", "domain": "dates", "type": "time"}, "can't be used on a column of this type"),
        ({"subject": "id", "domain": "dates", "type": None}, "needs the column's type"),
    ],
)
def test_what_would_not_work_is_refused_by_name(params: dict[str, Any], said: str) -> None:
    assert said in problem(rule("c", "date_shift", **{"type": "date", **params}))


def test_in_one_domain_all_rules_shift_as_far() -> None:
    near, far = RULES[1], rule("left", "date_shift", type="date", subject="id", domain="dates", days=365)
    with pytest.raises(PolicyError) as caught:
        check(Policy.of(1, rules=[near, far]))
    assert "rule crm.people.left: params.days differs from that of rule crm.people.born" in str(caught.value)
    check(Policy.of(1, rules=[near, rule("left", "date_shift", type="date", subject="id", domain="other", days=365)]))


def test_what_shows_less_is_known() -> None:
    one = DateShift(subject="id", domain="dates")
    assert DateShift(subject="id", domain="dates", days=365).no_weaker_than(one)
    assert not one.no_weaker_than(DateShift(subject="id", domain="dates", days=365))
    assert not DateShift(subject="id", domain="other", days=365).no_weaker_than(one)


ROW = {"id": 7, "born": 5661, "seen": "2026-11-21T06:21:11.400Z", "left": None}
SCHEMA = envelope_schema(
    {
        "id": {"type": "int32"},
        "born": {"type": "int32", "name": "io.debezium.time.Date", "version": 1},
        "seen": {"type": "string", "name": "io.debezium.time.ZonedTimestamp", "version": 1},
        "left": {"type": "int32", "name": "io.debezium.time.Date", "version": 1, "optional": True},
    }
)
RULES = (
    rule("id", "tokenize"),
    rule("born", "date_shift", type="date", subject="id", domain="dates"),
    rule("seen", "date_shift", type="timestamptz", subject="id", domain="dates"),
    rule("left", "date_shift", type="date", subject="id", domain="dates"),
)


def test_a_row_is_shifted_by_the_raw_subject_and_fits_its_schema() -> None:
    for value in (change(after=ROW), described(SCHEMA, change("u", before=ROW, after=ROW))):
        outcome = masker(*RULES).mask(record(value))
        after = payload(outcome.value)["after"]
        assert after["born"] == 5661 + shift(7)
        assert after["seen"] == f"{date(2026, 11, 21) + timedelta(days=shift(7))}T06:21:11.400Z"
        assert after["left"] is None
    assert misfits(outcome.value) == []


def test_the_old_row_of_a_delete_with_nothing_but_its_key_tells_no_shift() -> None:
    """There Debezium writes the epoch for columns that can't be null."""
    before = {"id": 7, "born": 0, "seen": "1970-01-01T00:00:00Z", "left": None}
    outcome = masker(*RULES).mask(record(described(SCHEMA, change("d", before=before))))
    found = payload(outcome.value)["before"]
    assert (found["born"], found["seen"]) == (0, "1970-01-01T00:00:00.000000Z")


def test_on_a_key_the_subject_has_to_be_in_the_key() -> None:
    under = Masker(Policy.of(1, rules=accepting(*RULES)), KEYS)
    outcome = under.mask(record(change(after=ROW), key={"id": 7, "born": 5661}))
    assert outcome.fate is Fate.MASKED
    assert json.loads(outcome.key or b"")["born"] == 5661 + shift(7)
    refused = under.mask(record(change(after=ROW), key={"born": 5661}))
    assert (refused.fate, refused.reason) == (Fate.QUARANTINED, Reason.UNFIT_KEY_RULE)
