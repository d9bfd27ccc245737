"""How a raw value may look where it must not be: its forms in every encoding that programs commonly give a value.

A form is bytes to look for. What always holds: whatever bytes stand before and after a value that was encoded, its form is
among the bytes; a form that could easily come about by chance is marked `alone`, which lets it count only as a word of its
own; and a value that tells too little (`telling`) has no forms at all.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import quote, quote_plus

__all__ = ["ENCODINGS", "PLAIN", "Form", "forms", "telling"]

PLAIN = ("utf-8", "bytes", "json", "json-ascii")
"""Encodings in which a value stands as it is read: what is kept shows it whole."""

ENCODINGS = (
    *PLAIN,
    *("json-twice", "json-escaped", "python", "url", "utf-16le", "utf-16be", "lower", "upper", "reversed", "digits"),
    *(f"{name}+{shift}" for name in ("base64", "base64url") for shift in range(3)),
    *("hex", "hex-upper"),
)
"""Every encoding there is. `+N`: the value begins N bytes into a group of three."""

# A date tells nobody: as a text with a midnight, or as a count of milli-, micro- or nanoseconds.
_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]00:00(?::00(?:\.0+)?)?)?(?:Z|[+-]\d\d(?::?\d\d){0,2})?", re.ASCII)
_COUNT = re.compile(r"-?\d{1,20}", re.ASCII)
_DAY_MS = 86_400_000

_TELLING = 18  # six letters, or nine digits
_PER_LETTER_BYTE, _PER_DIGIT = 3, 2
_LEAST_BYTES = 7
_LEAST_DISTINCT = 3
_LEAST_BASE64 = 8  # 48 bits

# A long value is searched by parts of it, so that one which was cut off is found, too, and the forms stay short.
_LONG = 64
_PART = 48

# Below these lengths random digits, or a random token, would hold a form by chance.
_WORD, _HEX_WORD, _NUMBER = 8, 12, 16
_BINARY = ("base64", "hex", "utf-16", "json-escaped")


@dataclass(frozen=True, slots=True)
class Form:
    """A value in one encoding. `alone`: it counts only where no letter or digit stands beside it."""

    encoding: str
    pattern: bytes = field(repr=False)
    alone: bool


def telling(value: bytes) -> bool:
    """Whether a value says enough for finding it to mean something.

    A digit counts two, a letter three for each of its bytes in UTF-8, and 18 are needed, with three different ones among
    them: six letters or nine digits are enough. Of bytes that are no text, seven are needed, three of them different. A date
    with no time of day but midnight is not telling: thousands of people share it.
    """
    text = _text(value)
    if text is None:
        return len(value) >= _LEAST_BYTES and len(set(value)) >= _LEAST_DISTINCT
    if _DATE.fullmatch(text) or (_COUNT.fullmatch(text) and int(text) % _DAY_MS == 0):
        return False
    counting = [character for character in text if character.isalnum()]
    weight = sum(_PER_DIGIT if character.isdigit() else _PER_LETTER_BYTE * _width(character) for character in counting)
    return weight >= _TELLING and len(set(counting)) >= _LEAST_DISTINCT


def forms(value: bytes) -> list[Form]:
    """Every form of a value, each pattern once, under the first encoding that makes it; none for one that isn't `telling`."""
    found: dict[bytes, Form] = {}
    for part in _parts(value):
        text = _text(part)
        named = _bytes_forms(part) if text is None else _text_forms(text, part, whole=part is value)
        for encoding, pattern in (*named, *_binary_forms(part)):
            found.setdefault(pattern, Form(encoding, pattern, _alone(encoding, pattern)))
    return list(found.values())


def _parts(value: bytes) -> list[bytes]:
    """The value, or of a long one its start, two parts of its middle and its end, as far as they are telling."""
    text = _text(value)
    length = len(value) if text is None else len(text)
    if length <= _LONG:
        return [value] if telling(value) else []
    starts = [(length - _PART) * third // 3 for third in range(4)]
    parts = [value[at : at + _PART] if text is None else _utf8(text[at : at + _PART]) for at in starts]
    return [part for part in parts if telling(part)]


def _text_forms(text: str, plain: bytes, *, whole: bool) -> Iterator[tuple[str, bytes]]:
    minimal, escaped = (json.dumps(text, ensure_ascii=ascii_only)[1:-1] for ascii_only in (False, True))
    yield "utf-8", plain
    yield "json", _utf8(minimal)
    for spelling in _hex_cases(escaped):
        yield "json-ascii", spelling
    for once in (minimal, escaped):
        yield "json-twice", _utf8(json.dumps(once, ensure_ascii=False)[1:-1])
    utf16 = text.encode("utf-16-be", "surrogatepass")
    for spelling in _hex_cases("".join(f"\\u{utf16[at : at + 2].hex()}" for at in range(0, len(utf16), 2))):
        yield "json-escaped", spelling
    yield "python", repr(plain)[2:-1].encode()
    for quoted in (quote(plain, safe=""), quote(plain), quote_plus(plain)):
        yield "url", quoted.encode()
        yield "url", re.sub("%..", lambda byte: byte[0].lower(), quoted).encode()
    yield "utf-16le", text.encode("utf-16-le", "surrogatepass")
    yield "utf-16be", utf16
    yield "lower", _utf8(text.lower())
    yield "upper", _utf8(text.upper())
    yield "reversed", _utf8(text[::-1])
    digits = "".join(re.findall("[0-9]", text))
    if whole and telling(digits.encode()):
        yield "digits", digits.encode()


def _bytes_forms(value: bytes) -> Iterator[tuple[str, bytes]]:
    yield "bytes", value
    yield "python", repr(value)[2:-1].encode()
    yield "reversed", value[::-1]


def _binary_forms(value: bytes) -> Iterator[tuple[str, bytes]]:
    for name, encode in (("base64", base64.b64encode), ("base64url", base64.urlsafe_b64encode)):
        for shift in range(3):
            # The characters that are made of the value's bits alone, whatever stands beside it.
            first, end = -(-8 * shift // 6), 8 * (shift + len(value)) // 6
            if end - first >= _LEAST_BASE64:
                yield f"{name}+{shift}", encode(bytes(shift) + value)[first:end]
    yield "hex", value.hex().encode()
    yield "hex-upper", value.hex().upper().encode()


def _alone(encoding: str, pattern: bytes) -> bool:
    if encoding.startswith(_BINARY):
        return False
    if pattern.isdigit():
        return len(pattern) < _NUMBER
    hexadecimal = re.fullmatch(rb"[0-9a-fA-F]+", pattern) is not None
    return len(pattern) < (_HEX_WORD if hexadecimal else _WORD)


def _hex_cases(escaped: str) -> Iterator[bytes]:
    r"""A JSON-escaped text, its `\uXXXX` with lower and with upper hex digits."""
    yield escaped.encode()
    # Escapes are taken one after the other: a `u` after an escaped backslash begins none.
    yield re.sub(r"\\(u....|.)", lambda escape: escape[0][:2] + escape[0][2:].upper(), escaped).encode()


def _text(value: bytes) -> str | None:
    try:
        return value.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return None


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # JSON can hold half of a pair


def _width(character: str) -> int:
    return len(_utf8(character))
