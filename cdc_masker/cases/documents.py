"""Cases as YAML says them. What is not exactly understood is refused, with its file, line and column.

Values are read as in JSON, whatever YAML 1.1 would take them for: null, true, false and numbers as JSON writes them; all else
is a text, so that dates, `no` and `01234` need no quotes. Nothing stands twice in a mapping; anchors and tags are not taken.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, NoReturn, TypeVar

import msgspec
import yaml

from cdc_masker import paths
from cdc_masker.cases.expectations import Case, Expectation, Part, Reference, Word
from cdc_masker.catalog.changes import parse_table
from cdc_masker.errors import PolicyError, Reason

__all__ = ["read_cases"]

_ANY_SERVER = "server"
_T = TypeVar("_T")
_Word = TypeVar("_Word", bound=StrEnum)


class _Loader(yaml.SafeLoader):
    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        problem = None
        if event.anchor is not None:  # an alias has one, too
            problem = "anchors are not taken; write it out"
        elif event.tag is not None:
            problem = "tags are not taken; put a text in quotes"
        elif isinstance(event, yaml.ScalarEvent) and _half.search(event.value):
            problem = "holds half a character"
        if problem is not None:
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
        return super().compose_node(parent, index)


_half = re.compile("[\ud800-\udfff]")
_NULL, _BOOL, _NUMBER = "tag:yaml.org,2002:null", "tag:yaml.org,2002:bool", "number"
_Loader.yaml_implicit_resolvers = {}  # in place of those of YAML 1.1
_Loader.add_implicit_resolver(_NULL, re.compile(r"(?:null|~|)$"), ["n", "~", ""])
_Loader.add_implicit_resolver(_BOOL, re.compile(r"(?:true|false)$"), ["t", "f"])
_Loader.add_implicit_resolver(
    _NUMBER, re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$"), list("-0123456789")
)


def read_cases(file: str, content: bytes) -> tuple[Case, ...]:
    """The cases in a YAML document; `file` names it in errors. Raises `PolicyError` for what is none."""
    try:
        root = yaml.compose(content.decode(), Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = file if mark is None else f"{file}:{mark.line + 1}:{mark.column + 1}"
        raise PolicyError(place, error.problem or "can't be read as YAML") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        raise PolicyError(file, "can't be read as YAML in UTF-8") from None
    return _Reader(file).cases(root)


class _Reader:
    """From the nodes of one document to its cases. Rows are read first, because expectations refer to those of other cases."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._rows: dict[str, dict[str, bytes]] = {}

    def cases(self, root: yaml.Node | None) -> tuple[Case, ...]:
        if root is None:
            raise PolicyError(self._file, "holds no case")
        found = []
        for node in self._items(root, "a list of cases"):
            members = self._members(node, required=("case", "table", "row"), allowed=("server", "key", "expect", "quarantined"))
            name = self._text(members["case"])
            if name in self._rows:
                self._refuse(node, f"case {name!r} stands twice; give each its own name")
            self._rows[name] = {column: self._json(value) for column, value in self._members(members["row"]).items()}
            if not self._rows[name]:
                self._refuse(members["row"], "the row has no column")
            found.append((node, name, members))
        return tuple(self._case(*each) for each in found)

    def _case(self, node: yaml.Node, name: str, members: Mapping[str, yaml.Node]) -> Case:
        if ("expect" in members) == ("quarantined" in members):
            self._refuse(node, "a case has either expect, or quarantined")
        row = self._rows[name]
        return Case(
            where=self._where(node),
            name=name,
            server=self._text(members["server"]) if "server" in members else _ANY_SERVER,
            table=self._parsed(members["table"], parse_table, "is no table"),
            row=row,
            key=self._key(members["key"], row) if "key" in members else (),
            expect=self._expectations(members["expect"], row) if "expect" in members else (),
            quarantined=self._one_of(Reason, members["quarantined"]) if "quarantined" in members else None,
        )

    def _key(self, node: yaml.Node, row: Mapping[str, bytes]) -> tuple[str, ...]:
        columns = []
        for each in self._items(node, "a list of columns"):
            columns.append(self._text(each))
            if columns[-1] not in row:
                self._refuse(each, f"the row has no column {columns[-1]!r}")
        return tuple(columns)

    def _expectations(self, node: yaml.Node, row: Mapping[str, bytes]) -> tuple[Expectation, ...]:
        members = self._members(node)
        if not members:
            self._refuse(node, "nothing is expected")
        return tuple(self._expectation(value, self._part(name, value, row), row) for name, value in members.items())

    def _expectation(self, node: yaml.Node, part: Part, row: Mapping[str, bytes]) -> Expectation:
        if isinstance(node, yaml.ScalarNode):
            return Expectation(where=self._where(node), part=part, word=self._word(node, part, row))
        members = self._members(node, allowed=("is", "equals", "matches", "same_as", "unlike"))
        if not members:
            self._refuse(node, "nothing is expected")
        return Expectation(
            where=self._where(node),
            part=part,
            word=self._word(members["is"], part, row) if "is" in members else None,
            equals=self._json(members["equals"]) if "equals" in members else None,
            matches=self._pattern(members["matches"]) if "matches" in members else None,
            same_as=self._reference(members["same_as"]) if "same_as" in members else None,
            unlike=self._reference(members["unlike"]) if "unlike" in members else None,
        )

    def _word(self, node: yaml.Node, part: Part, row: Mapping[str, bytes]) -> Word:
        word = Word.NULL if node.tag == _NULL else self._one_of(Word, node, "; a value is expected with {equals: …}")
        if part.path is None and row[part.column] == b"null" and word is not Word.DROPPED:
            self._refuse(node, f"the row's {part.name} is null, which tells nothing; give it a value")
        return word

    def _reference(self, node: yaml.Node) -> Reference:
        members = self._members(node, required=("case", "column"))
        name = self._text(members["case"])
        if name not in self._rows:
            self._refuse(members["case"], f"there is no case {name!r} in this file")
        return Reference(name, self._part(self._text(members["column"]), members["column"], self._rows[name]))

    def _part(self, name: str, node: yaml.Node, row: Mapping[str, bytes]) -> Part:
        """A column or, as in names of rules, a column with a path behind it."""
        if name in row:
            return Part(name, name)
        column, dollar, steps = name.partition("$")
        if column not in row:
            self._refuse(node, f"the row has no column {column!r}")
        try:
            path = paths.parse(dollar + steps, name)
        except PolicyError as error:
            self._refuse(node, f"{name}: {error.problem}")
        if path.of_names or any(step.deep for step in path.steps):
            self._refuse(node, f"{name}: here a path is made of .name, ['any name'], .* and [*] only")
        return Part(name, column, path)

    def _members(
        self, node: yaml.Node, *, required: tuple[str, ...] = (), allowed: tuple[str, ...] = ()
    ) -> dict[str, yaml.Node]:
        """By name. Without `required` and `allowed`, any names are."""
        if not isinstance(node, yaml.MappingNode):
            self._refuse(node, f"has to be a mapping{_of(required + allowed)}")
        found: dict[str, yaml.Node] = {}
        for name, value in node.value:
            if not isinstance(name, yaml.ScalarNode):
                self._refuse(name, "a name has to be a text")
            if name.value in found:
                self._refuse(name, f"{name.value!r} stands twice")
            if (required or allowed) and name.value not in required + allowed:
                self._refuse(name, f"there is no member {name.value!r}{_of(required + allowed)}")
            found[name.value] = value
        for name in required:
            if name not in found:
                self._refuse(node, f"member {name!r} is missing")
        return found

    def _items(self, node: yaml.Node, what: str) -> list[yaml.Node]:
        if not isinstance(node, yaml.SequenceNode) or not node.value:
            self._refuse(node, f"has to be {what}")
        return list(node.value)

    def _json(self, node: yaml.Node) -> bytes:
        return msgspec.json.encode(self._value(node))

    def _value(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.MappingNode):
            return {name: self._value(value) for name, value in self._members(node).items()}
        if isinstance(node, yaml.SequenceNode):
            return [self._value(value) for value in node.value]
        constants = {_NULL: None, _BOOL: node.value == "true", _NUMBER: msgspec.Raw(node.value.encode())}
        return constants.get(node.tag, node.value)

    def _text(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode) or node.tag == _NULL or not node.value:
            self._refuse(node, "has to be a text")
        return str(node.value)

    def _one_of(self, words: type[_Word], node: yaml.Node, more: str = "") -> _Word:
        return self._parsed(node, words, f"has to be one of {', '.join(words)}{more}")

    def _pattern(self, node: yaml.Node) -> re.Pattern[str]:
        return self._parsed(node, re.compile, "is no regular expression of Python's")

    def _parsed(self, node: yaml.Node, parse: Callable[[str], _T], problem: str) -> _T:
        try:
            return parse(self._text(node))
        except PolicyError as error:
            self._refuse(node, f"{error.place}: {error.problem}")
        except (ValueError, OverflowError, re.error):
            self._refuse(node, problem)

    def _where(self, node: yaml.Node) -> str:
        return f"{self._file}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"

    def _refuse(self, node: yaml.Node, problem: str) -> NoReturn:
        raise PolicyError(self._where(node), problem)


def _of(names: tuple[str, ...]) -> str:
    return f"; there are {', '.join(names)}" if names else ""
