"""Whether a policy version may be used where another one was: it shows no more, or somebody gave the reason for all it shows.

What always holds: a version before the other one has to show no more than that, whatever was released between; of a later one,
each release between that shows more than the one before it carries its reason, as `op.allow_weaker` left it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cdc_masker.comparison import Difference, Registry, weakenings
from cdc_masker.methods import METHODS
from cdc_masker.policies import EMPTY, Policy

__all__ = ["Released", "unexplained"]


class Released(NamedTuple):
    """A policy version, and why it may mask less than the one before; None: nobody said so."""

    policy: Policy
    weaker_reason: str | None


def unexplained(old: int, new: int, releases: Sequence[Released], known: Registry = METHODS) -> list[Difference]:
    """What version `new` shows, `old` did not, and nobody gave a reason for; nothing: it may be used in its place.

    `releases` are all versions, from the first on; version 0 is the one before anybody decided. The first release of all can't
    mask less than one before it, so it needs no reason.
    """
    policies = [EMPTY, *(each.policy for each in releases)]

    def between(one: int, other: int) -> list[Difference]:
        earlier = [rule for policy in policies[: one + 1] for rule in policy.rules]
        return weakenings(policies[one], policies[other], earlier, known)

    weaker = between(old, new)
    if not weaker or new < old:
        return weaker
    steps = (step for step in range(old + 1, new + 1) if step > 1 and not releases[step - 1].weaker_reason)
    return [difference for step in steps for difference in between(step - 1, step)]
