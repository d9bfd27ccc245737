"""Methods in a domain that is per subject: whose key masks a value, and what happens where there is none."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from cdc_masker import methods
from cdc_masker.engine import check
from cdc_masker.errors import PolicyError
from cdc_masker.methods import Column, Compute, Context, Contextual, Misfit, MissingSubject, Unmaskable
from cdc_masker.methods.base import Erased
from cdc_masker.methods.subjects import derived
from cdc_masker.policies import Domain, Policy
from tests.unit.building import KEYS, rule

DOMAIN = Domain(name="mail", per_subject=True)


@dataclass
class Kept:
    """Keys of subjects: each has one, but for those that are erased or still have to be fetched."""

    erased: frozenset[str] = frozenset()
    missing: frozenset[str] = frozenset()
    asked: list[tuple[str, str]] = field(default_factory=list)

    def key(self, domain: str, subject: str, topic: str, partition: int, offset: int) -> bytes:
        self.asked.append((domain, subject))
        if subject in self.erased:
            raise Erased
        if subject in self.missing:
            raise MissingSubject
        return hashlib.sha256(f"{domain}/{subject}".encode()).digest()


def context(subjects: Kept, **row: Any) -> Context:
    return Context("t", 0, 1, subjects, row={name: msgspec.Raw(msgspec.json.encode(value)) for name, value in row.items()})


def transform(method: str, domain: Domain = DOMAIN, epoch: int = 1, **params: Any) -> Any:
    column = Column(place="c", type=None, domain="own", epoch=epoch, declared={domain.name: domain})
    return methods.build(rule("c", method, domain=domain.name, **params)).compile(column, KEYS)


def masked(value: Any, subjects: Kept, row: Mapping[str, Any], **how: Any) -> Any:
    made = transform("tokenize", subject="id", **how)
    assert isinstance(made, Contextual)
    return made.function(value, context(subjects, **row))


def test_equal_values_of_one_subject_are_equal_and_of_two_subjects_are_not() -> None:
    kept = Kept()
    tokens = [masked("a@example.com", kept, {"id": subject}) for subject in (7, 7, 8)]
    assert tokens[0] == tokens[1] != tokens[2]
    assert kept.asked == [("mail", "7"), ("mail", "7"), ("mail", "8")]


def test_a_subject_is_the_same_whether_it_is_written_as_number_or_text() -> None:
    assert masked("x", Kept(), {"id": 7}) == masked("x", Kept(), {"id": "7"})


def test_domains_and_epochs_of_one_subject_are_separate() -> None:
    key = hashlib.sha256(b"a subject's").digest()
    other = Domain(name="other", per_subject=True)
    keys = {derived(key, *how) for how in [("m", DOMAIN, 1), ("n", DOMAIN, 1), ("m", other, 1), ("m", DOMAIN, 2)]}
    assert len(keys) == 4
    message = b"\0\0\0\1m\0\0\0\4mail\0\0\0\0011"
    assert derived(key, "m", DOMAIN, 1) == hmac.new(key, message, "sha256").digest()
    assert masked("x", Kept(), {"id": 7}) != masked("x", Kept(), {"id": 7}, epoch=2)


@pytest.mark.parametrize(
    ("subjects", "row", "reason"),
    [
        (Kept(erased=frozenset("7")), {"id": 7}, Misfit.ERASED),
        (Kept(missing=frozenset("7")), {"id": 7}, Misfit.SUBJECT),
        (Kept(), {"id": None}, Misfit.SUBJECT),
        (Kept(), {}, Misfit.SUBJECT),
        (Kept(), {"id": ""}, Misfit.SUBJECT),
        (Kept(), {"id": "__debezium_unavailable_value"}, Misfit.SUBJECT),
    ],
)
def test_without_the_subjects_key_nothing_is_masked(subjects: Kept, row: Mapping[str, Any], reason: Misfit) -> None:
    with pytest.raises(Unmaskable) as caught:
        masked("a@example.com", subjects, row)
    assert caught.value.reason is reason


def test_a_key_that_was_destroyed_is_in_no_cache() -> None:
    made = transform("tokenize", subject="id")
    made.function("x", context(Kept(), id=7))
    with pytest.raises(Unmaskable, match="erased"):
        made.function("x", context(Kept(erased=frozenset("7")), id=7))


def test_a_subject_and_a_domain_per_subject_go_together() -> None:
    plain = Domain(name="plain")
    for params, domains, problem in (
        ({"domain": "mail"}, [DOMAIN], r"rule crm\.people\.c: domain 'mail' is per subject: params\.subject"),
        ({"domain": "plain", "subject": "id"}, [plain], r"params\.subject needs a domain"),
        ({"domain": "undeclared", "subject": "id"}, [], r"params\.subject needs a domain"),
        ({"subject": "id"}, [DOMAIN], r"params\.subject needs a domain"),
    ):
        with pytest.raises(PolicyError, match=problem):
            check(Policy.of(1, rules=[rule("c", "tokenize", **params)], domains=domains))
    check(Policy.of(1, rules=[rule("c", "tokenize", domain="mail", subject="id")], domains=[DOMAIN]))


def test_without_a_subject_the_value_alone_decides() -> None:
    assert isinstance(transform("tokenize", Domain(name="plain")), Compute)
