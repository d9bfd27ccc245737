"""The keyring: root keys by epoch, and the keys that are derived from them.

Every key that masks anything is derived: HKDF-SHA-256 (RFC 5869) from the root of an epoch, with method, domain and epoch as
info, each with its length in front, so that no two of them can be confused. A root key is never used itself, never printed,
and in no `repr`. A key file is JSON: `{"format":1,"keys":[{"id":…,"epoch":1,"root":BASE64}]}`, readable by its owner only.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cdc_masker.errors import KeyringError

__all__ = ["FileKeys", "Keyring", "RootKey", "new_keyring", "write"]

_KEY_BYTES = 32


class RootKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One epoch's root: 32 random bytes. `id` is what may be shown of it."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    epoch: Annotated[int, msgspec.Meta(ge=1)]
    root: bytes

    def __repr__(self) -> str:
        return f"RootKey(id={self.id!r}, epoch={self.epoch})"

    def __rich_repr__(self) -> list[tuple[str, str | int]]:  # msgspec's own one lists every field
        return [("id", self.id), ("epoch", self.epoch)]


class _KeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: Literal[1]
    keys: Annotated[tuple[RootKey, ...], msgspec.Meta(min_length=1)]


@dataclass(frozen=True, slots=True)
class Keyring:
    """Root keys by epoch; satisfies `cdc_masker.methods.Keys`."""

    roots: tuple[RootKey, ...] = field()

    @classmethod
    def of(cls, roots: Iterable[RootKey]) -> Keyring:
        """Raises `KeyringError` for a root of another length or two of one epoch."""
        ring = cls(tuple(roots))
        epochs = [root.epoch for root in ring.roots]
        if len(set(epochs)) != len(epochs):
            raise KeyringError("two keys have the same epoch; each epoch has one root key")
        for root in ring.roots:
            if len(root.root) != _KEY_BYTES:
                raise KeyringError(f"key {root.id!r} does not hold {_KEY_BYTES} bytes; make keys with `cdc-masker keys new`")
        return ring

    def derive(self, method: str, domain: str, epoch: int) -> bytes:
        """32 bytes for one method, domain and epoch. Raises `KeyringError` when there is no root key of that epoch."""
        for root in self.roots:
            if root.epoch == epoch:
                break
        else:
            raise KeyringError(f"there is no key of epoch {epoch}, which the policy asks for; add it to the key file")
        parts = (b"cdc-masker", method.encode(), domain.encode(), str(epoch).encode())
        info = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return HKDF(hashes.SHA256(), _KEY_BYTES, salt=None, info=info).derive(root.root)


def new_keyring(epoch: int = 1) -> Keyring:
    """A keyring with one new random root, of that epoch."""
    return Keyring.of([RootKey(id=f"k-{secrets.token_hex(4)}", epoch=epoch, root=secrets.token_bytes(_KEY_BYTES))])


def write(ring: Keyring, path: Path) -> None:
    """Writes a key file that only its owner can read. Raises `KeyringError` when the file is there already or can't be made."""
    text = msgspec.json.format(msgspec.json.encode(_KeyFile(1, ring.roots)))
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise KeyringError(f"{path} is there already; a key file is never overwritten, choose another name") from None
    except OSError as error:
        raise KeyringError(f"{path} can't be written ({error.strerror}); choose another place") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(text + b"\n")


@dataclass(frozen=True, slots=True)
class FileKeys:
    """A `KeySource` that reads a key file."""

    path: Path

    def load(self) -> Keyring:
        """Raises `KeyringError` when the file is missing, open to others, or not a key file."""
        try:
            mode = self.path.stat().st_mode
            text = self.path.read_bytes()
        except OSError as error:
            raise KeyringError(
                f"key file {self.path} can't be read ({error.strerror}); make one with `cdc-masker keys new {self.path}`"
            ) from None
        if mode & 0o077:
            raise KeyringError(f"key file {self.path} can be read by others; run `chmod 600 {self.path}`")
        try:
            parsed = msgspec.json.decode(text, type=_KeyFile)
        except (msgspec.DecodeError, UnicodeDecodeError):
            # The parser's message may quote what stands there.
            raise KeyringError(f"{self.path} is not a key file; make one with `cdc-masker keys new`") from None
        return Keyring.of(parsed.keys)
