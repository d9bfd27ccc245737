"""Keys of one subject: once such a key is destroyed, nobody can tell any more what was masked under it.

In a domain that is declared per subject, a method works with keys that come from the subject's own one, which the shell keeps
(`Context.subject_key`): HMAC-SHA-256 under that key over the length-prefixed method, domain and epoch, as HKDF does it under
the root for other domains. Functions under a subject's key are made for each value and forgotten, which costs less than what
they then do, so that a destroyed key lives on in no cache here.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import msgspec

from cdc_masker.errors import PolicyError
from cdc_masker.methods.base import Column, Compute, Context, Contextual, Keys, Method
from cdc_masker.methods.recipes import Recipe
from cdc_masker.policies import Domain
from cdc_masker.schemas import Type

__all__ = ["Keyed", "Name", "check", "derived"]

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
"""Of a domain, or of a column."""


class Keyed(Method, frozen=True):
    """Base of the methods that work in a `domain`, which may be per subject: then `subject` is the column that names it."""

    domain: Name | None = None
    subject: Name | None = None

    @property
    def named_subject(self) -> str | None:
        return self.subject

    def check(self, place: str, declared: Type | None, domains: Mapping[str, Domain]) -> None:
        super().check(place, declared, domains)
        check(place, self.domain, self.subject, domains)

    def keyed(
        self,
        column: Column,
        keys: Keys,
        purposes: Sequence[str],
        make: Callable[..., Callable[[Any], Any]],
        output: Type | None,
        *,
        may_return_input: bool = False,
        may_return_number: bool = False,
        describe: Callable[..., Recipe | None] = lambda *_: None,
    ) -> Compute | Contextual:
        """The transform by what `make` gives for the keys of these purposes: the domain's, or for each value its subject's.

        `describe` gives the recipe of the same function for the same keys.
        """
        space, subject = column.space(self.domain), self.subject
        if subject is None:
            derived_keys = [column.key(keys, purpose, space) for purpose in purposes]
            return Compute(make(*derived_keys), output, may_return_input, may_return_number, describe(*derived_keys))

        def masked(value: Any, context: Context) -> Any:
            own = context.subject_key(space.name, subject)
            return make(*(derived(own, purpose, space, column.epoch) for purpose in purposes))(value)

        return Contextual(masked, output, may_return_input, may_return_number)


def derived(key: bytes, purpose: str, space: Domain, epoch: int) -> bytes:
    """256 bits for one purpose, domain and epoch from a subject's own key."""
    parts = (purpose.encode(), space.name.encode(), str(epoch).encode())
    return hmac.digest(key, b"".join(len(part).to_bytes(4, "big") + part for part in parts), "sha256")


def check(place: str, domain: str | None, subject: str | None, domains: Mapping[str, Domain]) -> None:
    """Raises `PolicyError` where a rule names a subject and its domain is not per subject, or the other way round.

    A method that can't work per subject calls it without a subject.
    """
    declared = domains.get(domain) if domain is not None else None
    per_subject = declared is not None and declared.per_subject
    if per_subject and subject is None:
        raise PolicyError(place, f"domain {domain!r} is per subject: params.subject has to name the row's subject")
    if subject is not None and not per_subject:
        raise PolicyError(place, "params.subject needs a domain that the policy declares per subject")
