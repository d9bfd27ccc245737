"""The language in which rules name parts of a column, and its compiled form.

A path starts at the column's value, `$`, and goes on in steps:

    .name  ['any name']     the member of that name
    .*                      every member of an object
    [*]                     every element of an array
    ..name  ..['any name']  the member of that name at any depth, below objects and arrays

A `~` at its end makes it mean the names of the members it leads to, instead of their values. That is the whole language.

All paths of one column become one deterministic automaton: a state for each set of places that no path tells apart, in which
everything is decided. So walking a document costs one look-up for each member, however many paths there are, and two paths
that contradict each other are found when the policy is made, for any document there could ever be.

Which path decides: the one that reaches deepest. Where several reach the same place, one without `..` before one with it,
then the one that writes out more names, then the longer one, then the one with fewer `..`. Below a place that is masked, only
paths that come before the masking one in that order decide, down to the next place that is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from cdc_masker.errors import PolicyError

__all__ = ["Decision", "Path", "State", "Step", "automaton", "parse"]

_ALLOWED = "allowed are $ and then .name, ['any name'], .*, [*] and ..name, and ~ at the end for the names of members"
_MOST_STATES = 1_000  # paths with several `.*` behind a `..` could need one for each subset of them

_STEP = re.compile(
    r"""
    (?P<deep>\.)? \. (?P<word>[^\W\d]\w*)
    | (?P<deep_bracket>\.\.)? \['(?P<quoted>(?:[^'\\]|\\['\\])*)'\]
    | (?P<members>\.\*)
    | (?P<elements>\[\*\])
    """,
    re.VERBOSE,
)


_Rank = tuple[bool, int, int, int]


@dataclass(frozen=True, slots=True)
class Step:
    """One step down: to members (of one `name`, or all) or, with `elements`, to those of an array. `deep`: at any depth."""

    name: str | None = None
    elements: bool = False
    deep: bool = False


@dataclass(frozen=True, slots=True)
class Path:
    """A parsed path. `of_names`: it means the names of the members that it leads to."""

    steps: tuple[Step, ...]
    of_names: bool = False

    @property
    def rank(self) -> _Rank:
        """Smaller is more specific."""
        depths = sum(step.deep for step in self.steps)
        return depths > 0, -sum(step.name is not None for step in self.steps), -len(self.steps), depths


@dataclass(frozen=True, slots=True)
class Decision:
    """A path and what it decides: whether it `keeps` what it names; otherwise that is masked. `place` names it in errors."""

    path: Path
    keeps: bool
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What is decided about the places that a walk can be at, and where it goes on.

    `rule` is the index of the masking decision that names the value; where there is none, the value is kept if `kept`, and
    otherwise nobody decided on it. `led`: a path leads here, if not to its end. `name_rule` and `name_kept` say the same of
    the member's name. `names`, `others` and `elements` are the states of members and elements; `others` is None where no
    path goes on: all that is below shares the fate of the value.
    """

    rule: int | None = None
    kept: bool = False
    led: bool = False
    name_rule: int | None = None
    name_kept: bool = False
    names: Mapping[str, int] = field(default_factory=dict)
    others: int | None = None
    elements: int | None = None

    @property
    def goes_on(self) -> bool:
        """Whether a path may lead further down."""
        return self.others is not None

    @property
    def named(self) -> bool:
        """Whether anything is said about this place itself."""
        return self.rule is not None or self.kept or self.led


def parse(text: str, place: str) -> Path:
    """Raises `PolicyError` at `place` for what is no path of this language."""
    of_names = text.endswith("~")
    end = len(text) - of_names
    if not text.startswith("$"):
        raise PolicyError(place, f"a path starts at the column's value, $; {_ALLOWED}")
    steps = []
    position = 1
    while position < end:
        match = _STEP.match(text, position, end)
        if match is None:
            raise PolicyError(place, f"the path can't be read from its character {position + 1} on; {_ALLOWED}")
        steps.append(_step(match))
        position = match.end()
    if not steps:
        raise PolicyError(place, "the path names the whole column; leave it out")
    if of_names and steps[-1].elements:
        raise PolicyError(place, "the elements of an array have no names; leave ~ out")
    return Path(tuple(steps), of_names)


def automaton(decisions: Sequence[Decision], keep_rest: bool) -> tuple[State, ...]:
    """The states; a walk starts at the first one. `keep_rest`: what no path names is kept, instead of undecided.

    Raises `PolicyError` where two paths decide on the same place and neither is more specific.
    """
    return _Construction(decisions).states(keep_rest)


def _step(match: re.Match[str]) -> Step:
    if match["elements"]:
        return Step(elements=True)
    if match["members"]:
        return Step()
    quoted = match["quoted"]
    name = match["word"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
    return Step(name=name, deep=bool(match["deep"] or match["deep_bracket"]))


_OTHER = Step()  # a member whose name no path writes out
_ELEMENT = Step(elements=True)


@dataclass(frozen=True, slots=True)
class _Place:
    """What tells one state from another: the decision there, and what may follow.

    `positions`: (index of a path, how many steps are done). Paths must be more specific than `bar`, if there is one.
    """

    positions: frozenset[tuple[int, int]]
    bar: _Rank | None = None
    rule: int | None = None
    kept: bool = False
    led: bool = True
    name_rule: int | None = None
    name_kept: bool = False


class _Construction:
    """The subset construction: places are made as they are reached, and equal ones are one state."""

    def __init__(self, decisions: Sequence[Decision]) -> None:
        self._decisions = decisions

    def states(self, keep_rest: bool) -> tuple[State, ...]:
        start = _Place(frozenset((index, 0) for index in range(len(self._decisions))), kept=keep_rest)
        found = {start: 0}
        queue = [(start, "$")]  # with a path to it, for messages
        states = []
        for place, witness in queue:  # grows on the way
            edges = {}
            for step in self._edges(place):
                following = witness + _written(step)
                target = self._follow(place, step, following)
                if target not in found:
                    found[target] = len(found)
                    queue.append((target, following))
                edges[step] = found[target]
            if len(found) > _MOST_STATES:
                raise PolicyError(self._decisions[0].place, "the paths of this column are too entangled; use fewer .* after ..")
            states.append(_state(place, edges))
        return tuple(states)

    def _edges(self, place: _Place) -> Iterator[Step]:
        """The steps that lead to different places; none, where no path goes on."""
        if place.positions:
            names = {self._decisions[index].path.steps[done].name for index, done in place.positions}
            yield from (Step(name) for name in sorted(name for name in names if name is not None))
            yield from (_OTHER, _ELEMENT)

    def _follow(self, place: _Place, taken: Step, witness: str) -> _Place:
        positions = set()
        values: list[int] = []
        names: list[int] = []
        led = written = False
        for index, done in place.positions:
            path = self._decisions[index].path
            step = path.steps[done]
            if step.deep:
                positions.add((index, done))
            if step.elements != taken.elements or step.name not in (None, taken.name):
                continue
            if done + 1 < len(path.steps):
                positions.add((index, done + 1))
            if place.bar is None or path.rank < place.bar:
                led = True
                written |= step.name is not None
                if done + 1 == len(path.steps):
                    (names if path.of_names else values).append(index)
        rule, value_kept = self._decide(values, place.kept, witness)
        name_rule, name_kept = self._decide(names, place.kept or written, witness + "~")
        bar = place.bar
        if rule is not None:
            bar = self._decisions[rule].path.rank
        elif value_kept:
            bar = None
        if bar is not None and not any(self._decisions[index].path.rank < bar for index, _ in positions):
            positions.clear()
        return _Place(frozenset(positions), bar, rule=rule, kept=value_kept, led=led, name_rule=name_rule, name_kept=name_kept)

    def _decide(self, ended: list[int], kept: bool, witness: str) -> tuple[int | None, bool]:
        """The rule that masks, and whether it is kept instead; `kept` where no path ended."""
        if not ended:
            return None, kept
        first, *others = sorted(ended, key=lambda index: self._decisions[index].path.rank)
        winner = self._decisions[first]
        for other in (self._decisions[index] for index in others[:1]):
            if other.path.rank == winner.path.rank:
                problem = f"{other.place} is about {witness}, too, and as specific; say what holds there with a rule for it"
                raise PolicyError(winner.place, problem)
        return (None, True) if winner.keeps else (first, False)


def _state(place: _Place, edges: Mapping[Step, int]) -> State:
    return State(
        rule=place.rule,
        kept=place.kept,
        led=place.led,
        name_rule=place.name_rule,
        name_kept=place.name_kept,
        names=MappingProxyType({step.name: state for step, state in edges.items() if step.name is not None}),
        others=edges.get(_OTHER),
        elements=edges.get(_ELEMENT),
    )


def _written(step: Step) -> str:
    if step.elements:
        return "[*]"
    if step.name is None:
        return ".*"
    if re.fullmatch(r"[^\W\d]\w*", step.name):
        return f".{step.name}"
    return "['" + re.sub(r"(['\\])", r"\\\1", step.name) + "']"
