"""What one rule alone does not show: checks across the rules of a policy, and on what a rule says its column is about.

Each rule was found to be sound by itself before. Payment cards: a display of parts stays within the first six and the last four
digits, and no policy has both a keyed equality of card numbers and a display of their parts, as the parts leave so few numbers
that all of them can be tried until one has the token (PCI DSS, requirement 3.5.1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from cdc_masker.errors import PolicyError
from cdc_masker.kinds import longest, states_few_values
from cdc_masker.methods import Disclosure, Method
from cdc_masker.methods.canonical import Form, Joining, check_domain, form_of
from cdc_masker.methods.fpe import Fpe
from cdc_masker.methods.partial import Partial, Truncate
from cdc_masker.methods.shift import DateShift
from cdc_masker.policies import Domain, Rule
from cdc_masker.schemas import from_postgres

__all__ = ["check", "check_reason"]

_CARDS = frozenset(
    ("payment card", "payment card number", "credit card", "credit card number", "card number", "debit card", "pan")
)
_FIRST, _LAST = 6, 4
_PARTS = frozenset((Disclosure.PART, Disclosure.MAGNITUDE))

_Pair = tuple[Rule, Method]


def check(rules: Iterable[_Pair], domains: Iterable[Domain]) -> None:
    """Raises `PolicyError` naming the rules, given each with its method, or domains that can't stand in one policy."""
    rules = tuple(rules)
    _check_domains(rules, {domain.name: domain for domain in domains})
    for rule, method in rules:
        _check_name(rule)
        check_reason(rule)
        _check_size(rule, method)
    cards = [(rule, method) for rule, method in rules if _is_of_cards(rule, method)]
    for rule, method in cards:
        _check_display(rule, method)
    _check_hash_and_parts(cards)
    _check_shifts(rules)


def _check_name(rule: Rule) -> None:
    """A column without a domain has one that is named by an array of JSON; who takes that name joins it, and nobody said so."""
    if str(domain := rule.params.get("domain", "")).startswith('["'):
        raise PolicyError(rule.place, f"domain {domain!r} is named as columns without one are; begin with another letter")


def _check_domains(rules: Iterable[_Pair], domains: Mapping[str, Domain]) -> None:
    """A declared domain has a form in which values are compared; in any other, all columns have to have one of their own."""
    for domain in domains.values():
        check_domain(domain)
    forms: dict[str, tuple[Rule, Form]] = {}
    for rule, method in rules:
        if not isinstance(method, Joining) or method.domain is None or rule.path is not None:
            continue
        declared = domains.get(method.domain)
        space = Domain(name=method.domain) if declared is None else declared
        form = form_of(space, from_postgres(rule.type) if rule.type is not None else None, named=True)
        if form is None:
            continue
        first, other = forms.setdefault(space.name, (rule, form))
        if other != form:
            problem = (
                f"would not join {first.place}, of another type; declare domain {space.name!r} with the type to compare in"
            )
            raise PolicyError(rule.place, problem)


def _check_shifts(rules: Iterable[_Pair]) -> None:
    """In one domain all dates of a subject move alike, which they do with equal limits only."""
    shifts: dict[str, tuple[Rule, int]] = {}
    for rule, method in rules:
        if isinstance(method, DateShift):
            first, days = shifts.setdefault(method.domain, (rule, method.days))
            if days != method.days:
                raise PolicyError(
                    rule.place, f"params.days differs from that of {first.place}, which shifts in the same domain"
                )


def check_reason(rule: Rule) -> None:
    """Raises `PolicyError` for a rule that accepts something, and nobody says why."""
    if (rule.allow_small_domain or rule.allow_uniqueness_loss) and not (rule.reason or "").strip():
        raise PolicyError(rule.place, "allow_small_domain and allow_uniqueness_loss need a reason; say why it is acceptable")


def _check_size(rule: Rule, method: Method) -> None:
    """Where few values are possible, equal outputs for equal ones tell which is which."""
    declared = from_postgres(rule.type) if rule.type is not None and rule.path is None else None
    if rule.type is None or declared is None:
        return
    length = longest(rule.type)
    if isinstance(method, Fpe) and length is not None and not method.takes(length):
        raise PolicyError(rule.place, f"texts of at most {length} characters are too short for method fpe; use another one")
    few = states_few_values(rule.type, declared)
    if few and method.tells_equal and not rule.allow_small_domain:
        problem = f"type {rule.type} allows so few values that counting tells which is which"
        raise PolicyError(rule.place, f"{problem}; redact it, or set allow_small_domain and give the reason")


def _is_of_cards(rule: Rule, method: Method) -> bool:
    if isinstance(method, Fpe) and method.check_digit is not None:
        return True
    return method.name == "card" or re.sub(r"[\s_-]+", " ", rule.classification or "").strip().casefold() in _CARDS


def _check_display(rule: Rule, method: Method) -> None:
    match method:
        case Partial(first=first, last=last):
            fits = first <= _FIRST and last <= _LAST
        case Truncate(length=length):
            fits = length <= _FIRST
        case _:
            fits = True
    if not fits:
        raise PolicyError(rule.place, f"of a payment card at most the first {_FIRST} and the last {_LAST} digits may be shown")


def _check_hash_and_parts(cards: Sequence[_Pair]) -> None:
    equal = next((rule for rule, method in cards if _tells(method, frozenset((Disclosure.EQUALITY,)))), None)
    part = next((rule for rule, method in cards if _tells(method, _PARTS)), None)
    if equal is not None and part is not None:
        problem = f"shows parts of payment cards while {equal.place} tells which are equal; of card numbers do only one"
        raise PolicyError(part.place, problem)


def _tells(method: Method, some: frozenset[Disclosure]) -> bool:
    """Whether the method masks and discloses any of these."""
    return not method.discloses.isdisjoint(some) and Disclosure.VALUE not in method.discloses
