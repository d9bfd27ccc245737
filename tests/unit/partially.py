"""What the tests of methods that show a part of a text share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cdc_masker import methods
from cdc_masker.engine import check
from cdc_masker.errors import PolicyError
from cdc_masker.methods import Column, Compute, Misfit, Unmaskable
from cdc_masker.policies import Domain, Policy, Rule
from cdc_masker.schemas import Type
from tests.unit.building import KEYS, rule

__all__ = ["TEXT", "masking", "problem", "refusal"]

TEXT = Type(base="string")


def masking(method: str, type_: Type | None = None, space: Domain | None = None, **params: Any) -> Callable[[Any], Any]:
    """The function of a method for one column, under a policy that declares `space`."""
    declared = {} if space is None else {space.name: space}
    column = Column(place="column c", type=type_, domain="own", declared=declared)
    transform = methods.build(rule("c", method, **params)).compile(column, KEYS)
    assert isinstance(transform, Compute)
    return transform.function


def refusal(function: Callable[[Any], Any], value: Any) -> Misfit:
    """Why the value is not taken. Of the value the error tells nothing."""
    with pytest.raises(Unmaskable) as caught:
        function(value)
    assert str(caught.value) == caught.value.reason
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    return caught.value.reason


def problem(stated: Rule, *domains: Domain) -> str:
    """Why a policy with this rule is refused."""
    with pytest.raises(PolicyError) as caught:
        check(Policy.of(1, rules=[stated], domains=domains))
    return str(caught.value)
