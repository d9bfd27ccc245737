"""In which domain, and by which method, columns that hold the same values are masked, so that they join as the raw ones do.

Where the policy has decided about some of them, the others follow. Else they get tokens in a domain that is named after the
column they refer to, declared with a type where theirs differ, so that a smaller integer joins a larger one. Columns that no
token can be made of, among them small integers, are encrypted: that keeps them distinct and equal, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cdc_masker.drafting.links import Component
from cdc_masker.drafting.standing import Standing
from cdc_masker.drafting.tables import ColumnName, SourceColumn
from cdc_masker.errors import PolicyError
from cdc_masker.kinds import Kind
from cdc_masker.methods import Disclosure
from cdc_masker.methods.canonical import Joining, form_of
from cdc_masker.methods.encrypt import Encrypt
from cdc_masker.methods.subjects import Keyed
from cdc_masker.methods.token import Tokenize
from cdc_masker.policies import Domain
from cdc_masker.schemas import Type, from_postgres

__all__ = ["Join", "join", "quoted"]


@dataclass(frozen=True, slots=True)
class Join:
    """What all columns of a component get. `method` None: they can't join, or are not to; `note` says why, or whom they follow.

    `declared`: the domain's declaration, if it needs one. `hidden`: the policy hides these values even from being compared;
    `follows`: it decided already that they are compared.
    """

    method: str | None
    domain: str | None = None
    declared: Domain | None = None
    hidden: bool = False
    follows: bool = False
    note: str | None = None


_INTEGERS = ("int16", "int32", "int64")

Members = Sequence[tuple[ColumnName, SourceColumn]]


def join(component: Component, members: Members, standing: Standing) -> Join:
    """For the columns of a component, each with what the source says of it."""
    if len(members) == 1 and not component.linked:
        return Join(None)
    decided = [(name, method) for name, _ in members if (method := standing.method(name)) is not None]
    if not decided:
        return _fresh(component, members, standing)
    for name, method in decided:
        if not method.discloses & {Disclosure.EQUALITY, Disclosure.VALUE}:
            return Join(None, hidden=True, note=f"holds what {quoted(name)} holds, which is hidden from being compared")
    name, method = decided[0]
    if not isinstance(method, Keyed) or method.name not in (Tokenize.name, Encrypt.name) or method.domain is None:
        return Join(None, note=f"to join it with {quoted(name)}, decide on both together")
    fresh = [column.connect for each, column in members if not standing.group(each)]
    stated = [from_postgres(rule.type) for each, _ in decided if (rule := standing.rule(each)) is not None and rule.type]
    space = standing.domains.get(method.domain, Domain(name=method.domain))
    alike = all(other == method for _, other in decided)
    if not alike or space.per_subject or not _agree(method, space, [*fresh, *stated]):
        return Join(None, note=f"can't join {quoted(name)} as that is masked now")
    return Join(method.name, method.domain, follows=True, note=f"joins {quoted(name)}")


def _agree(method: Keyed, space: Domain, types: Sequence[Type | None]) -> bool:
    """Whether columns of these types get equal outputs for equal values in a domain as it is declared, and texts are taken as
    texts: read as numbers or uuids, distinct ones can be equal.
    """
    if not all(type_ is not None and _can(method, space, type_) for type_ in types):
        return False
    if isinstance(method, Joining):
        forms = {form_of(space, type_, named=True) for type_ in types}
        texts = any(type_ is not None and type_.is_text for type_ in types)
        return len(forms) <= 1 and not (texts and any(form is not None and form.kind is not Kind.TEXT for form in forms))
    return _alike(types)


def _can(method: Keyed, space: Domain, type_: Type) -> bool:
    try:
        method.check("", type_, {space.name: space})
    except PolicyError:
        return False
    return True


def _fresh(component: Component, members: Members, standing: Standing) -> Join:
    name, types = str(component.name), [column.connect for _, column in members]
    tokenize = Tokenize(domain=name)
    if (space := standing.domains.get(name)) is not None:
        if _agree(tokenize, space, types):
            return Join(tokenize.name, name)
        return Join(None, note=f"domain {name!r} is declared so that it can't take it")
    if _agree(tokenize, Domain(name=name), types):
        return Join(tokenize.name, name)
    integers = all(type_ is not None and type_.integer_bits is not None for type_ in types)
    for type_ in ("bigint",) if integers else ("text", "numeric"):
        declared = Domain(name=name, type=type_)
        if _agree(tokenize, declared, types):
            return Join(tokenize.name, name, declared)
    if _alike(types):
        return Join(Encrypt.name, name)
    return Join(None, note="columns of these types can't be compared once they are masked")


def _alike(types: Sequence[Type | None]) -> bool:
    """Whether equal values of these types are written alike in events."""
    integers = all(type_ is not None and type_.name is None and type_.base in _INTEGERS for type_ in types)
    return integers or (None not in types and len(set(types)) == 1)


def quoted(name: ColumnName) -> str:
    """On one line, whatever is in the name."""
    return ascii(str(name))
