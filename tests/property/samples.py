"""For each method parameters to try, and texts that it takes: what a law about all methods is tried on."""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any, ClassVar

from hypothesis import strategies as st

from cdc_masker.kinds import Kind, kind_of
from cdc_masker.methods import METHODS, Method, build
from cdc_masker.methods.detectors import Span
from cdc_masker.methods.scrub import Scrub
from cdc_masker.schemas import Type
from tests.unit.building import rule
from tests.unit.columns import TYPES, decimal_texts, values

__all__ = ["KNOWN", "SAMPLES", "Sample", "taken"]

Texts = st.SearchStrategy[str]

_ANY = st.text(max_size=30)


@dataclass(frozen=True)
class Sample:
    """Parameters of a method, the type that a rule states with them, and texts that they are for."""

    params: Mapping[str, Any] = field(default_factory=dict)
    stated: str | None = None
    texts: Texts = _ANY

    def values(self, type_: Type) -> st.SearchStrategy[Any]:
        """Values of a column of that type, as this method is used for."""
        return self.texts if kind_of(type_) is Kind.TEXT else values(type_)


class _Digits:
    def find(self, text: str) -> Iterable[Span]:
        return [Span(place, place + 1, "DIGIT") for place, character in enumerate(text) if character in string.digits]


class ScrubDigits(Scrub, frozen=True, kw_only=True):
    """`scrub` with a detector, of which there are none yet."""

    known: ClassVar = {"digits": _Digits()}


KNOWN: dict[str, type[Method]] = {**METHODS, "scrub": ScrubDigits}

_LABEL = st.text(string.ascii_lowercase, min_size=1, max_size=8)
_EMAILS = st.builds("{}@{}.test".format, _LABEL, _LABEL)
_CARDS = st.text(string.digits, min_size=12, max_size=19)
_DIGITS = st.text(string.digits, min_size=6, max_size=20)
_MOMENTS = st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.isoformat())
_PATHS = st.builds("https://{}.test/{}?q=1".format, _LABEL, _LABEL)

SAMPLES: dict[str, list[Sample]] = {
    "keep": [Sample()],
    "null": [Sample()],
    "redact": [Sample()],
    "fixed": [Sample({"value": "fixed"}), Sample({"value": True}), Sample({"value": 7}), Sample({"value": 0.5})],
    "drop": [Sample()],
    "truncate": [Sample({"length": 3})],
    "partial": [Sample({"first": 1, "last": 2}, texts=_ANY)],
    "email": [Sample(texts=_EMAILS), Sample({"keep": "tld", "domain": "mail"}, texts=_EMAILS)],
    "ip": [Sample(texts=st.ip_addresses().map(str))],
    "url": [Sample({"path": path}, texts=_PATHS) for path in ("drop", "keep")],
    "card": [Sample(texts=_CARDS)],
    "phone": [Sample(texts=st.text(string.digits, min_size=6, max_size=6).map("+4520{}".format))],
    "tokenize": [Sample(), Sample({"domain": "d"})],
    "encrypt": [Sample(), Sample({"domain": "d"})],
    "fpe": [
        Sample({"alphabet": "digits"}, texts=_DIGITS),
        Sample({"alphabet": "digits", "check_digit": "valid"}, texts=_CARDS),
    ],
    "pseudonym": [Sample({"kind": kind}) for kind in ("name", "email", "street")],
    "random": [Sample(), Sample({"min": -3, "max": 30_000, "digits": 3})],
    "noise": [
        Sample({"distribution": "uniform", "bound": 1_000}, "numeric", decimal_texts()),
        Sample({"distribution": "laplace", "bound": 1_000, "scale": 70}, "timestamp", decimal_texts()),
    ],
    "bucket": [Sample({"size": 10, "max": 30_000}, texts=decimal_texts())],
    "round": [Sample({"digits": 0}, texts=decimal_texts()), Sample({"digits": -2}, texts=decimal_texts())],
    "age": [Sample(texts=decimal_texts())],
    "year": [Sample({}, "date", _MOMENTS), Sample({"earliest": 1940}, "timestamp", _MOMENTS)],
    "month": [Sample({}, "date", _MOMENTS)],
    "date": [Sample({}, "timestamp", _MOMENTS)],
    "date_shift": [Sample({"subject": "id", "domain": "dates"}, "date", _MOMENTS)],
    "postcode": [
        Sample({"country": "US"}, texts=st.text(string.digits, min_size=5, max_size=5)),
        Sample({"sparse": ["A1"], "length": 2}, texts=st.text("AB12", min_size=3, max_size=6)),
    ],
    "geo": [Sample({"degrees": 0.5}, texts=decimal_texts())],
    "scrub": [Sample({"detectors": ["digits"]}), Sample({"detectors": ["digits"], "by": "token"})],
}  # fmt: skip


def taken(name: str, sample: Sample) -> dict[str, Type]:
    """The types that the method takes with these parameters."""
    method = build(rule("c", name, **sample.params), KNOWN)
    return {column: type_ for column, type_ in TYPES.items() if method.accepts(type_)}
