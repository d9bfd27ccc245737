"""Keys that policy versions and checkpoints of the audit are signed with: each an Ed25519 private key in a PEM
file (PKCS #8), as `openssl genpkey` makes.

They are no keys that mask anything, and stand in no keyring: whoever signs keeps them, away from migrators and workers.
"""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from cdc_masker.errors import KeyringError

__all__ = ["new_signing_key", "signed", "signing_key"]

_MAKERS = "`cdc-masker policy keygen` or `audit keygen`"


def new_signing_key(path: Path) -> Path:
    """Writes a new private key that only its owner can read, and beside it the public one; gives the path of that.

    Raises `KeyringError` when one of the files is there already or can't be written.
    """
    key = Ed25519PrivateKey.generate()
    public = path.with_name(f"{path.name}.pub")
    try:
        _write(public, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), 0o644)
        try:
            _write(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
        except OSError:
            public.unlink()
            raise
    except FileExistsError as error:
        raise KeyringError(f"{error.filename} is there already; a key is never overwritten, choose another name") from None
    except OSError as error:
        raise KeyringError(f"{path} can't be written ({error.strerror}); choose another place") from None
    return public


def signed(path: Path, message: bytes) -> tuple[bytes, bytes]:
    """Public key (32 bytes) and signature (64 bytes) of a message, with the private key in a file. Raises as `signing_key`."""
    key = signing_key(path)
    return key.public_key().public_bytes_raw(), key.sign(message)


def signing_key(path: Path) -> Ed25519PrivateKey:
    """The private key in a file.

    Raises `KeyringError` when the file can't be read, is open to others, or holds no such key without a password.
    """
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise KeyringError(f"{path} can be read by others; run `chmod 600 {path}`")
            key = _private_key(file.read())
    except OSError as error:
        raise KeyringError(f"{path} can't be read ({error.strerror}); make one with {_MAKERS}") from None
    if key is None:
        raise KeyringError(f"{path} holds no Ed25519 private key in PEM without a password; make one with {_MAKERS}")
    return key


def _private_key(pem: bytes) -> Ed25519PrivateKey | None:
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError):  # the latter: it has a password
        return None
    return key if isinstance(key, Ed25519PrivateKey) else None


def _write(path: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
