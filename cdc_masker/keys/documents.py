"""Key documents: JSON, and files of it.

`{"format":1,"keys":[{"id":…,"epoch":1,"root":BASE64}]}`; in a bundle an epoch has, in place of `root`, `"derived":[{"method":…,
"domain":…,"key":BASE64}]`. A file is readable by its owner only, is never written over by accident, and is changed as a whole:
whoever reads it, or finds it after a crash, has the old or the new one.

No function that raises holds a document in a variable: an error that is shown with its frames would show it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from cdc_masker.errors import KeyringError
from cdc_masker.keys.keyring import DerivedKeys, Keyring, RootKey

__all__ = ["change", "decode", "read", "write"]


class _Derived(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    method: str
    domain: str
    key: bytes


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    epoch: Annotated[int, msgspec.Meta(ge=1)]
    root: bytes | None = None
    derived: tuple[_Derived, ...] | None = None


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: Literal[1]
    keys: Annotated[tuple[_Entry, ...], msgspec.Meta(min_length=1)]


def decode(text: bytes) -> tuple[RootKey | DerivedKeys, ...] | None:
    """The keys of a document; None if it is none. It never raises: the parser's message may quote what stands there."""
    try:
        keys = [_key(entry) for entry in msgspec.json.decode(text, type=_Document).keys]
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    found = tuple(key for key in keys if key is not None)
    return found if len(found) == len(keys) else None


def _key(entry: _Entry) -> RootKey | DerivedKeys | None:
    if entry.derived is None:
        return None if entry.root is None else RootKey(entry.id, entry.epoch, entry.root)
    keys = {(each.method, each.domain): each.key for each in entry.derived}
    if entry.root is not None or len(keys) != len(entry.derived):
        return None
    return DerivedKeys(entry.id, entry.epoch, keys)


def _encode(ring: Keyring) -> bytes:
    document = _Document(1, tuple(map(_entry, ring.keys)))
    return msgspec.json.format(msgspec.json.encode(document)) + b"\n"


def _entry(key: RootKey | DerivedKeys) -> _Entry:
    if isinstance(key, RootKey):
        return _Entry(key.id, key.epoch, root=key.secret.reveal())
    derived = (_Derived(method, domain, secret.reveal()) for (method, domain), secret in sorted(key.secret.items()))
    return _Entry(key.id, key.epoch, derived=tuple(derived))


def read(path: Path) -> tuple[RootKey | DerivedKeys, ...] | None:
    """The keys of a file; None if it is no key document. Raises `KeyringError` when it is missing or open to others."""
    try:
        with path.open("rb") as file:
            if not os.fstat(file.fileno()).st_mode & 0o077:
                return decode(file.read())
    except OSError as error:
        raise KeyringError(
            f"key file {path} can't be read ({error.strerror}); make one with `cdc-masker keys new {path}`"
        ) from None
    raise KeyringError(f"key file {path} can be read by others; run `chmod 600 {path}`")


def write(ring: Keyring, path: Path) -> None:
    """Writes a key file that only its owner can read. Raises `KeyringError` when the file is there already or can't be made."""
    try:
        _make(path, ring)
    except FileExistsError:
        raise KeyringError(f"{path} is there already; a key file is never overwritten, choose another name") from None
    except OSError as error:
        raise KeyringError(f"{path} can't be written ({error.strerror}); choose another place") from None


def change(path: Path, what: Callable[[Keyring], Keyring]) -> Keyring:
    """Replaces the keys of a file by what `what` makes of them, and gives those. Changes of files in one directory take turns.

    Raises `KeyringError` when the file can't be read or written; then it is as it was.
    """
    try:
        path = path.resolve()  # a link goes on to point there
        with _turn(path.parent):
            found = read(path)
            if found is None:
                raise KeyringError(f"{path} is not a key file; make one with `cdc-masker keys new`")
            ring = what(Keyring.of(found))
            owner = path.stat()
            fresh = path.with_name(f".{path.name}.new")
            fresh.unlink(missing_ok=True)  # of a run that was killed
            _make(fresh, ring)
            os.chown(fresh, owner.st_uid, owner.st_gid)
            fresh.replace(path)
            _flush(path.parent)
    except OSError as error:
        raise KeyringError(f"{path} can't be replaced ({error.strerror}); it is as it was") from None
    return ring


def _make(path: Path, ring: Keyring) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(_encode(ring))
            file.flush()
            os.fsync(descriptor)
    except OSError:
        path.unlink()
        raise
    _flush(path.parent)


def _flush(directory: Path) -> None:
    """Makes a change of names in a directory outlast a crash of the machine."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _turn(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
