"""`pseudonym`: made-up names and addresses that look real, the same one for the same value wherever its domain is used.

The value's token (HMAC-SHA-256, under a key of its own) is the number of the pseudonym in a vocabulary, modulo
its size. So two values may share one, the more likely the fewer there are. A value never becomes itself: it gets the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

from cdc_masker.errors import PolicyError
from cdc_masker.kinds import Kind
from cdc_masker.methods.base import Column, Disclosure, Keys, Transform, Uniqueness
from cdc_masker.methods.canonical import Form, Joining, reader
from cdc_masker.methods.token import digests, named
from cdc_masker.methods.vocabulary import LOCALES, vocabulary
from cdc_masker.policies import Domain
from cdc_masker.schemas import Type

__all__ = ["Pseudonym"]


class Pseudonym(Joining, frozen=True, kw_only=True):
    """Made-up names, e-mails, streets, cities or companies, by `locale`; equal values of a `domain` get equal ones.

    E-mails are in domains that are kept for examples.
    """

    name: ClassVar[str] = "pseudonym"
    kinds: ClassVar[frozenset[Kind]] = frozenset((Kind.TEXT,))
    uniqueness: ClassVar[Uniqueness] = Uniqueness.NOT_GUARANTEED
    discloses: ClassVar[frozenset[Disclosure]] = frozenset((Disclosure.NULLS, Disclosure.EQUALITY))
    kind: Literal["first_name", "last_name", "name", "email", "street", "city", "company"]
    locale: str = "en"

    def check(self, place: str, declared: Type | None, domains: Mapping[str, Domain]) -> None:
        super().check(place, declared, domains)
        if self.locale not in LOCALES:
            raise PolicyError(place, f"params.locale of method pseudonym is one of {', '.join(LOCALES)}")
        if vocabulary(self.kind, self.locale) is None:
            raise PolicyError(place, f"there are too few pseudonyms of kind {self.kind} in locale {self.locale}; use another")

    @property
    def outputs(self) -> int | None:
        words = vocabulary(self.kind, self.locale)
        return None if words is None else words.size

    def compile(self, column: Column, keys: Keys) -> Transform:
        words = vocabulary(self.kind, self.locale)
        assert words is not None  # as checked
        size, domain = words.size, column.space(self.domain).name
        form = self.form(column) or Form(Kind.TEXT, normalise=self.domain is not None)
        read, same = reader(form, column.type), reader(form, Type(base="string")) if form.kind is Kind.TEXT else None

        def make(key: bytes) -> Callable[[Any], str]:
            digest = digests(key, named(domain))

            def pseudonym(value: Any) -> str:
                known = read(value)
                number = int.from_bytes(digest(known).digest(), "big") % size
                picked = words[number]
                while same is not None and same(picked) == known:
                    number = (number + 1) % size
                    picked = words[number]
                return picked

            return pseudonym

        return self.keyed(column, keys, (self.name,), make, column.type)
