"""What left the masker, as texts to search, each with the place that is told when something is found in it.

A place is made of coordinates and numbers only: not even the name of a header is told, for it could be the raw value.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from cdc_masker.errors import SetupError
from cdc_masker.events import Headers, Record
from cdc_masker.leaks.leaves import Members, parse

__all__ = ["Item", "Sink", "Text", "chunks_of", "file_item", "files", "line_item", "record_item", "row_item", "stream_item"]

_CHUNK_BYTES = 1 << 20

# The program's own clock, to the millisecond: among enough raw timestamps one is the same.
_CLOCK = re.compile(rb'"masked_at":\d{13}\b')


@dataclass(frozen=True, slots=True)
class Text:
    """A stream of bytes in chunks. `by_byte`: a place in it is told with its position."""

    place: str
    chunks: Iterable[bytes] = field(repr=False)
    by_byte: bool = False


Item = tuple[Text, ...]


@dataclass(frozen=True, slots=True)
class Sink:
    """One kind of thing that left the masker: `items` gives each of them (a record, a row, a file)."""

    name: str
    unit: str
    items: Callable[[], AsyncIterator[Item]]


def record_item(where: str, record: Record, *, audit: bool = False) -> Item:
    """A published record: key, value and headers. `audit`: its value is an audit entry."""
    value = record.value or b""
    return _published(where, record.key, _CLOCK.sub(b'"masked_at":', value) if audit else value, record.headers)


def line_item(where: str, line: bytes) -> Item:
    """A line that `cdc-masker mask` wrote: its record as it would be published, and all else that stands in the line."""
    try:
        members = parse(line)
        if not isinstance(members, Members):
            raise ValueError
        headers = tuple((name, _bytes(value)) for name, value in members.get("headers") or ())
        published = _published(where, _bytes(members.get("key")), _bytes(members.get("value")) or b"", headers)
        rest = [member for member in members if member[0] not in ("key", "value", "headers")]
    except (ValueError, TypeError):  # whatever it is, it is searched
        return stream_item(where, (line,))
    return (*published, Text(f"{where} outcome", (json.dumps(rest, ensure_ascii=False).encode("utf-8", "surrogatepass"),)))


def row_item(where: str, row: Mapping[str, Any]) -> Item:
    """A row of a table, column by column."""
    return tuple(
        Text(f"{where} column {column}", (str(value).encode("utf-8", "surrogateescape"),))
        for column, value in row.items()
        if value is not None
    )


def stream_item(place: str, chunks: Iterable[bytes]) -> Item:
    """A file's content, or that of any other stream."""
    return (Text(place, chunks, by_byte=True),)


def file_item(path: Path) -> Item:
    """Raises `SetupError` when it can't be read."""
    return stream_item(str(path), _content(path))


def files(path: Path) -> Iterator[Path]:
    """The file, or every regular file below the directory; links to elsewhere aren't followed.

    Raises `SetupError` when there is none.
    """
    if path.is_file():
        yield path
        return
    found = False
    for each in sorted(path.rglob("*")):
        if each.is_file() and not each.is_symlink():
            found = True
            yield each
    if not found:
        raise SetupError(f"{path} is no file and holds none; name what is to be searched")


def chunks_of(file: BinaryIO, size: int = _CHUNK_BYTES) -> Iterator[bytes]:
    """The rest of a file, `size` bytes at a time."""
    while chunk := file.read(size):
        yield chunk


def _content(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from chunks_of(file)
    except OSError as error:
        raise SetupError(f"{path} can't be read ({error.strerror}); nothing is proven without it") from None


def _bytes(value: Any) -> bytes | None:
    """Key, value or header of a capture line."""
    if value is None:
        return None
    if isinstance(value, Members):
        return base64.b64decode(value.get("base64"), validate=True)
    return str.encode(value, "utf-8", "surrogatepass")


def _published(where: str, key: bytes | None, value: bytes, headers: Headers) -> Item:
    texts = [Text(f"{where} value", (value,)), Text(f"{where} key", (key or b"",))]
    for number, (name, content) in enumerate(headers, start=1):
        texts.append(Text(f"{where} header {number} name", (name.encode("utf-8", "surrogateescape"),)))
        texts.append(Text(f"{where} header {number}", (content or b"",)))
    return tuple(texts)
