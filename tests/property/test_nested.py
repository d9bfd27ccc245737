"""Laws of columns with rules for their parts, for any document and any set of paths.

Each name and each leaf of a document is unique, so that what is found in the output tells where it came from. What should be
found is worked out by `_fate`, place by place from the rules as they are documented, without an automaton.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
import orjson
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from cdc_masker.engine import Engine
from cdc_masker.errors import PolicyError
from cdc_masker.lookup import Table
from cdc_masker.methods import Context
from cdc_masker.paths import Path, parse
from cdc_masker.policies import Policy, Rule
from tests.unit.building import KEYS

many = settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])

Way = tuple[str | None, ...]
"""Names of members, and None for an element."""


@dataclass(frozen=True)
class Found:
    """A name or a leaf of a document: the way to it, its text, in how many strings it stands, and a part that is unique."""

    way: Way
    text: str
    texts: int
    canary: str
    is_name: bool


@dataclass
class Document:
    """JSON text with what is in it, in order."""

    text: str = ""
    found: list[Found] = field(default_factory=list)


_KNOWN = ["a", "b"]
_SHAPES = ['"Kl{}"', '"\\u004bl{}\\/"', '"[Kl{}] {{"', "77{}00.10", "-8{}0000000000000000000000000", "99{}7E400"]
_SPACES = st.sampled_from(["", "", " ", "\n\t"])


class _Writer:
    def __init__(self, draw: DrawFn) -> None:
        self._draw = draw
        self._count = 0
        self.found: list[Found] = []

    def value(self, way: Way, depth: int, texts: int) -> str:
        kinds = ["leaf"] if depth == 4 else ["leaf", "object", "object", "array", *(["text"] if texts < 2 else [])]
        kind = self._draw(st.sampled_from(kinds))
        if kind == "object":
            names = self._draw(st.lists(st.sampled_from([*_KNOWN, ""]), max_size=4, unique_by=lambda name: name or object()))
            return self._around("{}", [self._member(name, way, depth, texts) for name in names])
        if kind == "array":
            size = self._draw(st.integers(0, 3))
            return self._around("[]", [self.value((*way, None), depth + 1, texts) for _ in range(size)])
        if kind == "text":
            return _quoted(self._draw(_SPACES) + self._container(way, depth, texts + 1) + self._draw(_SPACES))
        return self._leaf(way, texts)

    def _container(self, way: Way, depth: int, texts: int) -> str:
        return self._around("[]", [self.value((*way, None), depth + 1, texts)])

    def _member(self, name: str, way: Way, depth: int, texts: int) -> str:
        label = f'"{name}"'
        if not name:
            self._count += 1
            canary = f"n{self._count:03}"
            name = f"K{canary}é"
            label = self._draw(st.sampled_from([f'"K{canary}é"', f'"K{canary}\\u00e9"', f'"\\u004b{canary}é"']))
            self.found.append(Found((*way, name), label, texts, canary, True))
        colon = self._draw(_SPACES) + ":" + self._draw(_SPACES)
        return label + colon + self.value((*way, name), depth + 1, texts)

    def _leaf(self, way: Way, texts: int) -> str:
        self._count += 1
        number = f"{self._count:03}"
        shape = self._draw(st.sampled_from(_SHAPES))
        text = shape.format(number)
        canary = f"l{number}" if '"' in text else text
        self.found.append(Found(way, text, texts, canary, False))
        return text

    def _around(self, brackets: str, items: list[str]) -> str:
        space = self._draw(_SPACES)
        return brackets[0] + space + (space + "," + space).join(items) + space + brackets[1]


def _quoted(text: str) -> str:
    return orjson.dumps(text).decode()


@st.composite
def documents(draw: DrawFn) -> Document:
    writer = _Writer(draw)
    text = writer.value((), 0, 0)
    return Document(text, writer.found)


_STEPS = st.sampled_from([".a", ".b", "['a']", ".*", "[*]", "..a", "..b"])
_METHODS = st.sampled_from(["keep", "keep", "redact", "fixed", "tokenize"])

_NAME_METHODS = st.sampled_from(["keep", "redact", "tokenize"])  # of members that get one name only the first stays


@st.composite
def _paths(draw: DrawFn, ways: list[Way]) -> str:
    """A path that leads along one of the ways, or anywhere. It writes out no unique name."""
    if not ways or draw(st.integers(0, 4)) == 0:
        return "$" + "".join(draw(st.lists(_STEPS, min_size=1, max_size=3)))
    way = draw(st.sampled_from(ways))
    steps, skipped = [], False
    for name in way[: draw(st.integers(1, len(way)))]:
        if name in _KNOWN:
            choice = draw(st.sampled_from(["exact", "exact", "any", "skip"]))
            steps += {"exact": [f"..{name}" if skipped else f".{name}"], "any": [".*"], "skip": []}[choice]
            skipped = choice == "skip"
        else:
            steps.append("[*]" if name is None else ".*")
    return "$" + ("".join(steps) or ".a")


@st.composite
def cases(draw: DrawFn) -> tuple[Document, tuple[Rule, ...]]:
    """A document, and rules for parts of it."""
    document = draw(documents())
    ways = sorted({found.way for found in document.found if found.way}, key=repr)
    paths = draw(st.sets(_paths(ways), min_size=1, max_size=5))
    texts = {path + ("~" if draw(st.integers(0, 5)) == 0 and not path.endswith("[*]") else "") for path in sorted(paths)}
    made = [_rule(text, draw(_METHODS if not text.endswith("~") else _NAME_METHODS)) for text in sorted(texts)]
    if draw(st.booleans()):
        made.append(_rule(None, "keep"))
    return document, tuple(made)


def _rule(path: str | None, method: str) -> Rule:
    params: dict[str, Any] = {"value": "fixed"} if method == "fixed" else {}
    return Rule(schema="crm", table="people", column="doc", path=path, method=method, params=params)


def _mask(raw: str, rules: tuple[Rule, ...]) -> str:
    try:
        engine = Engine(Policy.of(1, rules=rules), KEYS)
    except PolicyError:
        assume(False)
    plan = engine.compile(Table("shop", "crm", "people", "t"), (("doc", None),), frozenset())
    return plan.apply({"doc": msgspec.Raw(raw.encode())}, "after", Context("t", 0, 0)).decode()[len('{"doc":') : -1]


Fate = Literal["kept", "masked", "gone"]


def _matches(path: Path, way: Way) -> bool:
    def follow(step: int, at: int) -> bool:
        if step == len(path.steps):
            return at == len(way)
        if at == len(way):
            return False
        wanted = path.steps[step]
        here = (way[at] is None) if wanted.elements else way[at] is not None and wanted.name in (None, way[at])
        return (here and follow(step + 1, at + 1)) or (wanted.deep and follow(step, at + 1))

    return follow(0, 0)


def _fate(found: Found, rules: tuple[Rule, ...]) -> Fate:
    """What is to become of a name or a leaf: the nearest path decides, the most specific one where several are as near."""
    paths = [(parse(rule.path, ""), rule.method) for rule in rules if rule.path is not None]
    kept, bar, result = len(paths) < len(rules), None, None
    around = kept
    active = paths
    for end in range(1, len(found.way) + 1):
        around = kept
        active = [(path, method) for path, method in paths if bar is None or path.rank < bar]
        ended = [(path.rank, method) for path, method in active if not path.of_names and _matches(path, found.way[:end])]
        result = None
        if ended:
            rank, result = min(ended)
            kept, bar = (True, None) if result == "keep" else (False, rank)
    if not found.is_name:
        return "kept" if kept else "masked" if result else "gone"
    named = [(path.rank, method) for path, method in active if path.of_names and _matches(path, found.way)]
    if named:
        return "kept" if min(named)[1] == "keep" else "masked"
    return "kept" if around else "gone"  # the unique names are written out in no path


def _survivors(output: str, document: Document) -> Iterator[Found]:
    return (found for found in document.found if found.canary in output)


@many
@given(cases(), st.booleans())
def test_what_is_kept_is_there_byte_by_byte_and_in_order_and_nothing_else_is(
    case: tuple[Document, tuple[Rule, ...]], native: bool
) -> None:
    document, rules = case
    native = native and document.text.startswith(("{", "["))
    output = _mask(document.text if native else _quoted(document.text), rules)
    text = output if native else json.loads(output)
    json.loads(text)
    assert [found for found in _survivors(text, document) if _fate(found, rules) != "kept"] == []
    kept = [found for found in document.found if _fate(found, rules) == "kept"]
    position = 0
    for found in kept:
        if found.is_name and found.canary not in text:
            continue  # the member was left out, since nobody named its value
        escaped = found.text
        for _ in range(found.texts):
            escaped = _quoted(escaped)[1:-1]
        position = text.index(escaped, position)
    if any(rule.path is None for rule in rules):
        below = [found for found in kept if found.is_name]
        assert all(found.canary in text for found in below)


@many
@given(cases())
def test_equal_documents_have_equal_masks_under_any_order_of_the_rules(case: tuple[Document, tuple[Rule, ...]]) -> None:
    document, rules = case
    raw = _quoted(document.text)
    assert _mask(raw, rules) == _mask(raw, rules) == _mask(raw, rules[::-1])


@many
@given(documents())
def test_a_document_that_no_path_touches_is_untouched(document: Document) -> None:
    raw = _quoted(document.text)
    assert _mask(raw, (_rule("$..absent", "redact"), _rule("$.absent~", "tokenize"), _rule(None, "keep"))) == raw


_TROUBLE = ['"', "{", "}", "[", "]", ",", ":", "\\", "\\ud800", "NaN", '"a":0,', " ", "\x00", "é"]


@many
@given(cases(), st.data())
def test_a_damaged_document_shows_nothing_that_is_masked_wherever_it_stands(
    case: tuple[Document, tuple[Rule, ...]], data: st.DataObject
) -> None:
    """Without a rule that keeps, nothing of a document can come through, in whatever way it is broken."""
    document, rules = case
    masking = tuple(rule for rule in rules if rule.method != "keep")
    assume(masking)
    at = data.draw(st.integers(0, len(document.text)))
    end = data.draw(st.integers(at, min(len(document.text), at + 6)))
    damaged = document.text[:at] + data.draw(st.sampled_from(_TROUBLE)) + document.text[end:]
    output = _mask(_quoted(damaged), masking)
    json.loads(output)
    assert [found.canary for found in _survivors(output, document)] == []
