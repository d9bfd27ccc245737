"""The values inside a value: what a text holds when it is read the way a curious reader would.

JSON is read leniently, so that nothing hides in what a strict parser refuses: a name that stands twice keeps both values, a
text that is no JSON at all gives its words. Texts that hold JSON, or bytes in base64, are taken apart in turn.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from typing import Any

__all__ = ["Members", "Number", "leaves", "parse", "words"]

_DEEPEST = 8  # texts in texts
_LEAST_BASE64 = 12
_BASE64 = re.compile(r"(?=.*[a-z])(?=.*[A-Z])(?=.*[0-9+/=_-])[A-Za-z0-9+/_-]+={0,2}")
_NAME = re.compile(r"[A-Za-z_]+")
_BETWEEN_WORDS = re.compile(rb"""[\s"'{}\[\]():;,=<>]+""")


class Members(list[tuple[str, Any]]):
    """The members of a JSON object, in order; a name may stand twice."""

    def get(self, name: str) -> Any:
        """The last member of that name, None without one."""
        return next((value for found, value in reversed(self) if found == name), None)


class Number(str):
    """A number as it was written."""

    __slots__ = ()


def parse(text: bytes | str) -> Any:
    """The JSON value, made of `Members`, list, str, `Number`, bool and None. Raises `ValueError` when there is none."""
    try:
        return json.loads(text, object_pairs_hook=Members, parse_int=Number, parse_float=Number, parse_constant=Number)
    except RecursionError:
        raise ValueError("nested too deep") from None


def leaves(value: Any, depth: int = 0) -> Iterator[bytes]:
    """Every text and number in a value, and the names of members that are more than a plain word."""
    if isinstance(value, Members):
        for name, inner in value:
            # A plain word is a part of the format: it stands in schemas, logs and programs, and tells of nobody.
            if not _NAME.fullmatch(name):
                yield from leaves(name, depth)
            yield from leaves(inner, depth)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, depth)
    elif isinstance(value, Number) or depth == _DEEPEST:
        yield str(value).encode("utf-8", "surrogatepass")
    elif isinstance(value, str):
        yield from _in_text(value, depth + 1)


def words(text: bytes) -> Iterator[bytes]:
    """What stands between the punctuation of a text that is no JSON."""
    yield from filter(None, _BETWEEN_WORDS.split(text))


def _in_text(text: str, depth: int) -> Iterator[bytes]:
    if text.lstrip()[:1] in ("{", "["):
        try:
            yield from leaves(parse(text), depth)
            return
        except ValueError:
            pass  # a text that only begins like JSON
    yield text.encode("utf-8", "surrogatepass")
    if len(text) >= _LEAST_BASE64 and len(text) % 4 == 0 and _BASE64.fullmatch(text):
        try:
            decoded = base64.b64decode(text, altchars=b"-_" if re.search("[-_]", text) else None, validate=True)
        except binascii.Error:
            return
        try:
            yield from _in_text(decoded.decode(), depth) if depth < _DEEPEST else ()
        except UnicodeDecodeError:
            yield decoded
