"""JSON that only describes itself, walked state by state.

A name comes through where a path writes it out, where it is kept with what is around it, or where a rule for names says so.
Any other name on the way to something becomes its number in the output, `#1`. Where two members of an object would get the
same name, the first one stays.

A string is opened where a path goes on into it and it holds JSON; one that looks like JSON but can't be read as such without
doubt (a name twice, too deep, broken) is never passed as a mere text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson

from cdc_masker.codecs import json, slices
from cdc_masker.errors import InputError, Reason
from cdc_masker.methods import (
    Column,
    Compute,
    Constant,
    Context,
    Contextual,
    Drop,
    Keep,
    Keys,
    Method,
    Misfit,
    Rewrite,
    Transform,
    Unmaskable,
    fits,
    redaction,
)
from cdc_masker.methods.constant import Redact
from cdc_masker.paths import State
from cdc_masker.policies import Rule
from cdc_masker.schemas import Type

__all__ = ["MAX_TEXTS", "NULL", "Describe", "Masks", "Visit", "Walk", "check", "constant", "mask_array", "mask_object"]

MAX_TEXTS = 3
"""How many JSON texts may stand one inside the other, the column's own included, where a path goes on into them."""

NULL = b"null"

Visit = Callable[[bytes, Context], bytes | None]
"""From the text of a value to its masked text; None where nothing in it is named, or a rule drops it."""

Describe = Callable[[Rule, Type | None], Column]
"""Tells a method about the part that a rule names, and its type where that is known."""

_Label = Callable[[str, int, Context], str]
"""From a member's name, and its number in the output, to its masked name. Raises `Unmaskable`."""

_NAME = Type(base="string")
_MAY_BE_JSON = (b'"{', b'"[', b'"\\', b'" ', b'"\xef\xbb\xbf')  # an escape may be anything; the last is a byte order mark
_LOOKS_LIKE_JSON = re.compile(r'\{\s*"|\[\s*["\[{]')


@dataclass(frozen=True, slots=True)
class Masks:
    """The rules of one column by index, compiled when asked for."""

    rules: Sequence[Rule]
    methods: Sequence[Method]
    describe: Describe
    keys: Keys

    def transform(self, index: int, type_: Type | None) -> Transform:
        method, few = self.methods[index], self.rules[index].allow_small_domain
        if type_ is not None and not fits(method, type_, few=few):
            return redaction(type_)
        return method.compile(self.describe(self.rules[index], type_), self.keys)

    def label(self, index: int) -> _Label:
        if isinstance(self.methods[index], Redact):
            return _number
        match self.transform(index, _NAME):
            case Constant(value, _):
                return lambda _, __, ___: str(value)
            case Compute(function, _):
                return lambda name, _, __: str(function(name))
            case Contextual(contextual, _):
                return lambda name, _, context: str(contextual(name, context))
            case other:
                raise TypeError(f"{type(other).__name__} masks no names")

    def cell(self, index: int, transform: Transform) -> Visit:
        """The transform of a leaf, from text to text. A computed method redacts what is no scalar, and what it can't take."""
        match transform:
            case Keep():
                return _unchanged
            case Drop():
                return _nothing
            case Constant(value, _):
                return constant(value)
            case Compute(function, type_):
                return self._computed(index, lambda value, _: function(value), type_)
            case Contextual(aware, type_):
                return self._computed(index, aware, type_)
            case Rewrite():
                raise TypeError("rules with paths do not nest")

    def _computed(self, index: int, function: Callable[[Any, Context], Any], type_: Type | None) -> Visit:
        redacted = orjson.dumps(redaction(type_).value)
        rule = self.rules[index]

        def compute(text: bytes, context: Context) -> bytes:
            if text == NULL:
                return text
            try:
                return orjson.dumps(function(orjson.loads(text), context))
            except Unmaskable as error:
                reason = error.reason
            except orjson.JSONDecodeError:  # the text is JSON: a number in it is past a double
                reason = Misfit.RANGE
            if rule.strict:
                raise InputError(Reason.UNMASKABLE, f"{context.place}.{rule.column}{rule.path or ''}")
            context.misfit(f"{rule.column}{rule.path or ''}", reason)
            return redacted

        return compute


class Walk:
    """Masks values of which no type is known."""

    def __init__(self, states: Sequence[State], masks: Masks) -> None:
        self.states = states
        self.masks = masks
        self.labels = [self._label(state) for state in states]
        self._leaves = [self._leaf(state) for state in states]

    def column(self, text: bytes, context: Context) -> bytes:
        """A column's value: an object or array as it is, or a string that holds JSON. Raises `Unmaskable` for all else."""
        if text.startswith((b"{", b"[")):
            check(text)
            return self._value(text, 0, 0, 0, context) or NULL
        if not text.startswith(b'"'):
            raise Unmaskable
        content: str = orjson.loads(text)
        if not _is_json(content.encode()):
            raise Unmaskable
        return self._inside(text, content, 0, 0, 0, context) or NULL

    def string(self, text: bytes, index: int, texts: int, depth: int, leaf: Visit, context: Context) -> bytes | None:
        """A string that paths go on into, or what else stands in its place: masked by `leaf`, unless it holds JSON.

        `texts` and `depth` count the JSON texts and the objects and arrays around it.
        """
        if not text.startswith(_MAY_BE_JSON):
            return leaf(text, context)
        content: str = orjson.loads(text)
        bare = content.lstrip("\ufeff \t\n\r")
        if bare.startswith(("{", "[", '"')):
            if _is_json(content.encode()):
                return self._inside(text, content, index, texts, depth, context)
            if _LOOKS_LIKE_JSON.match(bare):
                raise Unmaskable
        return leaf(text, context)

    def _inside(self, text: bytes, content: str, index: int, texts: int, depth: int, context: Context) -> bytes | None:
        if texts == MAX_TEXTS:
            raise Unmaskable
        bare = content.strip(" \t\n\r")
        raw = bare.encode()
        check(raw)
        masked = self._value(raw, index, texts + 1, depth, context)
        if masked is None or masked == raw:
            return text if masked == raw else None
        return orjson.dumps(content.replace(bare, masked.decode(), 1))

    def _value(self, text: bytes, index: int, texts: int, depth: int, context: Context) -> bytes | None:
        state = self.states[index]
        if not state.goes_on:
            return self._leaves[index](text, context)
        if text.startswith((b"{", b"[")):
            if depth == json.MAX_DEPTH:
                raise Unmaskable
            mask = mask_object if text.startswith(b"{") else mask_array
            return mask(
                text,
                state,
                self.labels,
                lambda part, target, inner: self._value(part, target, texts, depth + 1, inner),
                context,
            )
        return self.string(text, index, texts, depth, self._leaves[index], context)

    def _leaf(self, state: State) -> Visit:
        if state.rule is not None:
            return self.masks.cell(state.rule, self.masks.transform(state.rule, None))
        if state.kept:
            return _unchanged
        return _null if state.led else _nothing

    def _label(self, state: State) -> _Label:
        if state.name_rule is not None:
            return self.masks.label(state.name_rule)
        return _same if state.name_kept else _number


def mask_object(
    text: bytes,
    state: State,
    labels: Sequence[_Label],
    visit: Callable[[bytes, int, Context], bytes | None],
    context: Context,
) -> bytes | None:
    """The object with its members masked by `visit`, which gets the state of each, and their names by `labels`."""
    written: dict[str, slices.Part] = {}
    for part in slices.members(text):
        target = state.names.get(part.name, state.others)
        assert target is not None  # paths go on from here
        masked = visit(part.text, target, context)
        if masked is None:
            continue
        name = labels[target](part.name, len(written) + 1, context)
        if name not in written:
            label = part.label if name == part.name else orjson.dumps(name)
            written[name] = slices.Part(name, part.gap, label, part.colon, masked)
    if written or state.named:
        return slices.join(text, list(written.values()))
    return None


def mask_array(
    text: bytes,
    state: State,
    labels: Sequence[_Label],
    visit: Callable[[bytes, int, Context], bytes | None],
    context: Context,
    missing: bytes = NULL,
) -> bytes | None:
    """The array with its elements masked by `visit`; those in which nothing is named become `missing`."""
    assert state.elements is not None  # paths go on from here
    named = state.named
    written = []
    for part in slices.elements(text):
        masked = visit(part.text, state.elements, context)
        named = named or masked is not None
        written.append(slices.Part("", part.gap, b"", b"", missing if masked is None else masked))
    return slices.join(text, written) if named else None


def constant(value: Any) -> Visit:
    """Puts the constant there, whatever came in."""
    text = orjson.dumps(value)
    return lambda _, __: text


def check(text: bytes) -> None:
    """Raises `Unmaskable` for JSON that is too deep, or in which a name stands twice."""
    try:
        json.check_text(text, "")
        json.refuse_duplicates(text, "")
    except InputError:
        safe = False
    else:
        safe = True
    if not safe:
        raise Unmaskable


_raw = msgspec.json.Decoder(msgspec.Raw)


def _is_json(text: bytes) -> bool:
    try:
        _raw.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _same(name: str, _: Any, __: Any) -> str:
    return name


def _number(_: Any, number: int, __: Any) -> str:
    return f"#{number}"


def _unchanged(text: bytes, _: Any) -> bytes:
    return text


def _null(_: bytes, __: Any) -> bytes:
    return NULL


def _nothing(_: bytes, __: Any) -> None:
    return None
