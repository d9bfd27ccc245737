"""Native arrays, maps and structs: compiled along their type, so that what comes out fits a type that is known.

The fields of a struct and the elements of an array stay; what nobody named in them is redacted by its type. Maps lose members
like objects do. Strings in them that hold JSON are walked as free JSON.
"""

from __future__ import annotations

from dataclasses import replace
from functools import reduce

import orjson

from cdc_masker.codecs import slices
from cdc_masker.methods import Context, Drop, Keep, Unmaskable, redaction
from cdc_masker.nested.free import NULL, Visit, Walk, constant, mask_array, mask_object
from cdc_masker.paths import State
from cdc_masker.schemas import JSON, Field, Type

__all__ = ["Typed", "has_parts", "is_text"]


def is_text(type_: Type) -> bool:
    """Whether values are strings that may hold JSON."""
    return type_.base == "string" and type_.name in (None, JSON)


def has_parts(type_: Type) -> bool:
    """Whether paths can lead into values of this type."""
    return is_text(type_) or type_.base in ("array", "map", "struct")


class Typed:
    """Compiles masks for values of known types, with the states and masks of a walk."""

    def __init__(self, walk: Walk) -> None:
        self._walk = walk

    def compile(self, type_: Type, index: int) -> tuple[Visit, Type]:
        """The mask of values of that type in that state, and the type of what comes out."""
        state = self._walk.states[index]
        leaf, output = self._leaf(type_, state)
        if not state.goes_on:
            return leaf, output
        if is_text(type_):
            text_type = redaction(type_).type or type_
            return lambda text, context: self._walk.string(text, index, 0, 0, leaf, context), _either(output, text_type)
        match type_:
            case Type(base="array", items=Type() as items):
                visit, whole = self._array(type_, items, state)
            case Type(base="map", keys=Type(base="string"), values=Type() as values):
                visit, whole = self._map(type_, values, state)
            case Type(base="struct"):
                visit, whole = self._struct(type_, state)
            case Type(base="map"):  # Connect writes it as an array of pairs, in which no path finds its way
                return self._constant(type_)
            case _:
                return leaf, output
        return lambda text, context: (leaf if text == NULL else visit)(text, context), _either(output, whole)

    def _array(self, type_: Type, items: Type, state: State) -> tuple[Visit, Type]:
        assert state.elements is not None  # paths go on from here
        element, output = self.compile(items, state.elements)
        missing = _redacted(output)
        return (
            lambda text, context: mask_array(
                _expect(b"[", text), state, self._walk.labels, lambda part, _, inner: element(part, inner), context, missing
            ),
            replace(type_, items=output),
        )

    def _map(self, type_: Type, values: Type, state: State) -> tuple[Visit, Type]:
        compiled = {index: self.compile(values, index) for index in (state.others, *state.names.values()) if index is not None}
        output = reduce(_either, (output for _, output in compiled.values()))
        return (
            lambda text, context: mask_object(
                _expect(b"{", text),
                state,
                self._walk.labels,
                lambda part, index, inner: compiled[index][0](part, inner),
                context,
            ),
            replace(type_, values=output),
        )

    def _struct(self, type_: Type, state: State) -> tuple[Visit, Type]:
        fields: dict[str, tuple[Visit, bytes]] = {}
        outputs = []
        for field in type_.fields:
            index = state.names.get(field.name, state.others)
            assert index is not None  # paths go on from here
            visit, output = self.compile(field.type, index)
            fields[field.name] = visit, _redacted(output)
            outputs.append(Field(field.name, output))

        def struct(text: bytes, context: Context) -> bytes | None:
            named = state.named
            written = []
            for part in slices.members(_expect(b"{", text)):
                if part.name not in fields:
                    raise Unmaskable
                visit, missing = fields[part.name]
                masked = visit(part.text, context)
                named = named or masked is not None
                filled = missing if masked is None else masked
                written.append(slices.Part(part.name, part.gap, part.label, part.colon, filled))
            if len(written) != len(fields):
                raise Unmaskable
            return slices.join(text, written) if named else None

        return struct, replace(type_, fields=tuple(outputs))

    def _leaf(self, type_: Type, state: State) -> tuple[Visit, Type]:
        if state.rule is not None:
            transform = self._walk.masks.transform(state.rule, type_)
            visit = self._walk.masks.cell(state.rule, transform)
            match transform:
                case Keep():
                    return visit, type_
                case Drop():
                    return visit, self._constant(type_)[1]
                case _:
                    return visit, transform.type or type_
        if state.kept:
            return (lambda text, _: text), type_
        if state.led:
            return self._constant(type_)
        return (lambda _, __: None), self._constant(type_)[1]

    def _constant(self, type_: Type) -> tuple[Visit, Type]:
        redacted = redaction(type_)
        return constant(redacted.value), redacted.type or type_


def _redacted(type_: Type) -> bytes:
    return orjson.dumps(redaction(type_).value)


def _expect(opening: bytes, text: bytes) -> bytes:
    if not text.startswith(opening):
        raise Unmaskable
    return text


def _either(one: Type, other: Type) -> Type:
    """A type that the values of both have. They are one type, but for what may be null and enums that became texts."""
    if one == other:
        return one
    common = one if one.name == other.name else one.plain_text()
    return replace(
        common,
        optional=one.optional or other.optional,
        items=_either(one.items, other.items) if one.items and other.items else None,
        values=_either(one.values, other.values) if one.values and other.values else None,
        fields=tuple(Field(a.name, _either(a.type, b.type)) for a, b in zip(one.fields, other.fields, strict=True)),
    )
