"""Signed notes, as https://c2sp.org/signed-note defines them: a text, an empty line, and a line for each signature.

Signatures are Ed25519 (RFC 8032) over the text. A signature names its key by a name and by four bytes of a hash, so that
a reader knows which of its keys to try; those of keys it does not have say nothing to it and are passed over.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from cdc_masker.errors import CdcMaskerError

__all__ = ["BadNote", "Note", "NoteSignature", "can_be_key_name", "check", "sign", "split"]

_ED25519 = b"\x01"
_ID_BYTES = 4
_DASH = "\N{EM DASH} "
_LINE = re.compile(f"{_DASH}([^ ]+) ([A-Za-z0-9+/]+=*)")
_MOST_SIGNATURES = 64


class BadNote(CdcMaskerError):
    """A note that is not as its signer wrote it, or that nobody signed whose key is known: use another copy of it."""


class NoteSignature(NamedTuple):
    """One line below a note: the name of a key, its id (4 bytes), and what was made with it."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A note of which nothing is verified yet. `text` ends with a newline."""

    text: str
    signatures: tuple[NoteSignature, ...]


def can_be_key_name(name: str) -> bool:
    """Whether a key may be called so: not empty, no spaces or control characters of any kind, no plus."""
    return bool(name) and "+" not in name and not any(each.isspace() or not each.isprintable() for each in name)


def sign(text: str, name: str, key: bytes, signature: bytes) -> bytes:
    """The note of a text that ends with a newline, with the signature of its UTF-8 bytes. `key` is the public one, 32 bytes."""
    return f"{text}\n{_DASH}{name} {b64encode(_key_id(name, key) + signature).decode()}\n".encode()


def split(note: bytes) -> Note:
    """Takes a note apart. Raises `BadNote`."""
    try:
        whole = note.decode()
    except UnicodeDecodeError:
        raise BadNote("the note is not UTF-8") from None
    if any(each < " " and each != "\n" for each in whole):
        raise BadNote("the note holds control characters")
    text, separator, below = whole.rpartition("\n\n")
    if not separator or not below.endswith("\n"):
        raise BadNote("the note does not end with an empty line and lines of signatures")
    lines = below[:-1].split("\n")
    if len(lines) > _MOST_SIGNATURES:
        raise BadNote(f"the note has more than {_MOST_SIGNATURES} signatures")
    return Note(f"{text}\n", tuple(map(_signature, lines)))


def check(note: Note, name: str, keys: Iterable[bytes]) -> None:
    """Raises `BadNote` unless one of these public keys (32 bytes each) signed the note under this name.

    A signature that names one of the keys and is not of that key spoils the note, whatever the others are.
    """
    known = {_key_id(name, key): Ed25519PublicKey.from_public_bytes(key) for key in keys}
    theirs = [each for each in note.signatures if each.name == name and each.key_id in known]
    if not theirs:
        raise BadNote("no key that is known signed the note")
    for each in theirs:
        try:
            known[each.key_id].verify(each.signature, note.text.encode())
        except InvalidSignature:
            raise BadNote("the note is not what was signed: somebody changed it, or its signature") from None


def _signature(line: str) -> NoteSignature:
    found = _LINE.fullmatch(line)
    name, encoded = found.groups() if found else ("", "")
    try:
        content = b64decode(encoded)
    except NotBase64:
        content = b""
    # Encoded again, because base64 has several texts for the same bytes.
    if not can_be_key_name(name) or len(content) <= _ID_BYTES or b64encode(content).decode() != encoded:
        raise BadNote("a line below the note is no signature")
    return NoteSignature(name, content[:_ID_BYTES], content[_ID_BYTES:])


def _key_id(name: str, key: bytes) -> bytes:
    return sha256(name.encode() + b"\n" + _ED25519 + key).digest()[:_ID_BYTES]
