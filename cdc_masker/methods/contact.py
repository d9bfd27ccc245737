"""`email`: an address whose first half is a token and whose domain, or its end, can be read.

The token is 32 hex digits: 128 bits of HMAC-SHA-256 over the length-prefixed domain of the rule and the whole address, so that
addresses with the same name at two sites get tokens that have nothing in common. It is taken in the form of texts that
`tokenize` has: in a domain that a rule names in NFC, and folded where the domain says so; else as it stands. Addresses are read
by RFC 5321 with the letters of RFC 6531: one address, without display name or comment.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, Self

from cdc_masker.errors import PolicyError
from cdc_masker.kinds import Kind
from cdc_masker.methods.base import Column, Disclosure, Keys, Misfit, Transform, Uniqueness, Unmaskable, redaction
from cdc_masker.methods.canonical import Form, Joining, form_of, reader
from cdc_masker.methods.network import host_name
from cdc_masker.policies import Domain
from cdc_masker.schemas import Type

__all__ = ["Email"]

_HEX_DIGITS = 32
_ATOM = r'[^\x00-\x20\x7f-\xa0\s"(),.:;<>@\[\\\]]+'
_QUOTED = r'"(?:[^\x00-\x1f\x7f"\\]|\\[^\x00-\x1f\x7f])*"'
_ADDRESS = re.compile(rf"(?:{_ATOM}(?:\.{_ATOM})*|{_QUOTED})@([^@]+)")


class Email(Joining, frozen=True):
    """The name before the `@` becomes a keyed token, while the site after it stays, or with `keep="tld"` its top level only.

    Columns whose rules name the same `domain` join. Of a site's top level `de` the output is `TOKEN@de.invalid`.
    """

    name: ClassVar[str] = "email"
    kinds: ClassVar[frozenset[Kind]] = frozenset((Kind.TEXT,))
    uniqueness: ClassVar[Uniqueness] = Uniqueness.PRESERVED
    discloses: ClassVar[frozenset[Disclosure]] = frozenset((Disclosure.NULLS, Disclosure.EQUALITY, Disclosure.PART))
    keep: Literal["domain", "tld"] = "domain"

    def check(self, place: str, declared: Type | None, domains: Mapping[str, Domain]) -> None:
        super().check(place, declared, domains)
        space = domains.get(self.domain or "")
        form = None if space is None else form_of(space, declared, named=True)
        if form is not None and form.kind is not Kind.TEXT:
            raise PolicyError(place, f"domain {self.domain!r} does not compare values as texts; email needs one that does")

    def shows_no_more_than(self, other: Self) -> bool:
        # In another domain other columns join, so that there neither tells less.
        return (self.domain, self.subject) == (other.domain, other.subject) and self.keep in ("tld", other.keep)

    def compile(self, column: Column, keys: Keys) -> Transform:
        space = column.space(self.domain)
        name = space.name.encode()
        prefix = len(name).to_bytes(4, "big") + name
        form = reader(Form(Kind.TEXT, normalise=self.domain is not None, fold=space.fold_case), None)
        top_level_only = self.keep == "tld"

        def make(key: bytes) -> Callable[[Any], str]:
            def function(value: Any) -> str:
                if not isinstance(value, str):
                    raise Unmaskable
                site = _site(value)
                token = hmac.digest(key, prefix + form(value), "sha256").hex()[:_HEX_DIGITS]
                return f"{token}@{site.rpartition('.')[2]}.invalid" if top_level_only else f"{token}@{site}"

            return function

        return self.keyed(column, keys, (self.name,), make, redaction(column.type).type)


def _site(text: str) -> str:
    """What follows the `@` of an address. Raises `Unmaskable` where it is none, or its site is no name with a top level."""
    found = _ADDRESS.fullmatch(text)
    if not found:
        raise Unmaskable(Misfit.FORMAT)
    site = host_name(found[1])
    if "." not in site or site.rpartition(".")[2].isdecimal():
        raise Unmaskable(Misfit.FORMAT)
    return site
