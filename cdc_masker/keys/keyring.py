"""The keyring: keys by epoch, and what is derived from them.

Every key that masks anything is derived: HKDF-SHA-256 (RFC 5869) from the root of an epoch, with method, domain and epoch as
info, each with its length in front, so that no two of them can be confused. A root key is never used itself. Instead of its
root an epoch may hold some derived keys only (`cdc_masker.keys.bundles`); then there are no others.

What always holds: nothing shows a key. It stands in no attribute, so that whatever walks over objects meets an id and an epoch
at most, and it never pickles: a keyring travels as the place that it came from, and is read again from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import InitVar, dataclass, field
from typing import Any, NoReturn, Protocol

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cdc_masker.errors import KeyringError

__all__ = ["KEY_BYTES", "DerivedKeys", "Keyring", "RootKey", "Secret"]

KEY_BYTES = 32


class Secret:
    """A key that only `reveal()` tells. It neither pickles nor copies."""

    __slots__ = ("reveal",)
    reveal: Callable[[], bytes]

    def __init__(self, content: bytes) -> None:
        self.reveal = lambda: content

    def __len__(self) -> int:
        return len(self.reveal())

    def __repr__(self) -> str:
        return "Secret()"

    def __reduce__(self) -> NoReturn:
        raise KeyringError(
            "a key is never pickled or copied; pickle the keyring, which travels as the place it was loaded from"
        )


@dataclass(frozen=True, slots=True, eq=False)
class RootKey:
    """One epoch's root: 32 random bytes. `id` is what may be shown of it."""

    kind = "root"
    id: str
    epoch: int
    root: InitVar[bytes]
    secret: Secret = field(init=False, repr=False)

    def __post_init__(self, root: bytes) -> None:
        object.__setattr__(self, "secret", Secret(root))

    def secrets(self) -> Iterable[Secret]:
        return (self.secret,)

    def derive(self, method: str, domain: str) -> bytes:
        """32 bytes for a method and domain."""
        parts = (b"cdc-masker", method.encode(), domain.encode(), str(self.epoch).encode())
        info = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return HKDF(hashes.SHA256(), KEY_BYTES, salt=None, info=info).derive(self.secret.reveal())


@dataclass(frozen=True, slots=True, eq=False)
class DerivedKeys:
    """Some keys of one epoch by method and domain, without the root, whose `id` they have."""

    kind = "derived"
    id: str
    epoch: int
    keys: InitVar[Mapping[tuple[str, str], bytes]]
    secret: Mapping[tuple[str, str], Secret] = field(init=False, repr=False)

    def __post_init__(self, keys: Mapping[tuple[str, str], bytes]) -> None:
        object.__setattr__(self, "secret", {purpose: Secret(key) for purpose, key in keys.items()})

    def secrets(self) -> Iterable[Secret]:
        return self.secret.values()

    def derive(self, method: str, domain: str) -> bytes:
        """The key of a method and domain. Raises `KeyringError` when it is not among these."""
        found = self.secret.get((method, domain))
        if found is None:
            raise KeyringError(
                f"the bundle lacks the key of method {method!r}, domain {domain!r}, epoch {self.epoch}; make a new bundle for "
                "the policy with `cdc-masker keys derive` where the root key is"
            )
        return found.reveal()


class _Source(Protocol):
    def load(self) -> Keyring: ...


@dataclass(frozen=True, slots=True, eq=False)
class Keyring:
    """Keys by epoch; satisfies `cdc_masker.methods.Keys`.

    `source` is where it was loaded from, None for one made in memory. It pickles as that and the ids of its keys.
    """

    keys: tuple[RootKey | DerivedKeys, ...]
    source: _Source | None = field(default=None, repr=False)

    @classmethod
    def of(cls, keys: Iterable[RootKey | DerivedKeys], source: _Source | None = None) -> Keyring:
        """The epochs in order. Raises `KeyringError` for a key of another length or two of one epoch."""
        ring = cls(tuple(sorted(keys, key=lambda key: key.epoch)), source)
        epochs = [key.epoch for key in ring.keys]
        if len(set(epochs)) != len(epochs):
            raise KeyringError("two keys have the same epoch; each epoch has one root key")
        for key in ring.keys:
            if any(len(secret) != KEY_BYTES for secret in key.secrets()):
                raise KeyringError(f"key {key.id!r} does not hold {KEY_BYTES} bytes; make keys with `cdc-masker keys new`")
        return ring

    def derive(self, method: str, domain: str, epoch: int) -> bytes:
        """32 bytes for one method, domain and epoch. Raises `KeyringError` when that key can't be had."""
        for key in self.keys:
            if key.epoch == epoch:
                return key.derive(method, domain)
        raise KeyringError(
            f"there is no key of epoch {epoch}, which the policy asks for; `cdc-masker keys rotate` makes the next"
        )

    def ids(self) -> dict[int, str]:
        """The key ids by epoch."""
        return {key.epoch: key.id for key in self.keys}

    def __reduce__(self) -> tuple[Any, ...]:
        if self.source is None:
            raise KeyringError(
                "a keyring made in memory can't be pickled; load it from a file, the environment or a command, so that it "
                "travels as a reference to that"
            )
        return _loaded_again, (self.source, self.ids())


def _loaded_again(source: _Source, ids: Mapping[int, str]) -> Keyring:
    """What a pickled keyring becomes. Raises `KeyringError` when `source` lacks a key or has another one here."""
    ring = source.load()
    found = ring.ids()
    for epoch, name in ids.items():
        if found.get(epoch) != name:
            raise KeyringError(
                f"{source} has no key {name!r} of epoch {epoch} here; bring those that were there when it was pickled"
            )
    return ring
