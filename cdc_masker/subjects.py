"""Subjects as the catalog knows them, and their keys on the way there and back.

A subject is a person whom rows are about. In a domain that is declared per subject, each has a random key of its own. The
catalog holds it wrapped, under a name which is a keyed hash of the subject's text: so it neither knows subjects nor can it
unwrap a key, and whoever holds the catalog's keys can't tell what was masked under a subject's key once that is gone.

Names don't depend on the epoch: who was erased stays known when keys are rotated. So they are derived from the first root, by
itself or as a derived key. Wrapping does: a wrapped key is of one epoch, and destroying that root destroys them all.
"""

from __future__ import annotations

import hmac
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from cdc_masker.errors import KeyringError
from cdc_masker.methods import Keys
from cdc_masker.policies import Policy

__all__ = [
    "KEY_BYTES",
    "NAMING_EPOCH",
    "Asked",
    "Held",
    "Log",
    "News",
    "Standing",
    "SubjectCipher",
    "SubjectName",
    "derivations",
    "naming",
    "per_subject",
]

KEY_BYTES = 32
NAMING_EPOCH = 1

_NAMING = "subject.name"
_WRAPPING = ("subject.wrap.mac", "subject.wrap.ctr")  # the two halves of an AES-SIV key (RFC 5297)


class SubjectName(NamedTuple):
    """What the catalog calls a subject in a domain: a keyed hash of 32 bytes."""

    domain: str
    digest: bytes


class Log(NamedTuple):
    """One partition of one incarnation of a topic: offsets mean something inside of it only."""

    topic: str
    incarnation: str
    partition: int


@dataclass(frozen=True, slots=True)
class Asked:
    """A question for a subject's key of one epoch. `candidate` is a new key, wrapped, to be stored if there is none.

    After an erasure there is none until `renew` asks for one: for a record from after it.
    """

    name: SubjectName
    epoch: int
    candidate: bytes = field(repr=False)
    renew: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """What the catalog says about a subject: its key, wrapped, and up to where its records are erased.

    `erased` gives for each log the first offset that is not. While an erasure goes on (`erasing`) there is no key.
    """

    wrapped: bytes | None = field(repr=False)
    erased: Mapping[Log, int] = field(default_factory=dict)
    erasing: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """One key as the catalog holds it."""

    name: SubjectName
    epoch: int
    wrapped: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class News:
    """The subjects of erasures that a worker has not acknowledged, and the number of the newest."""

    newest: int
    names: tuple[SubjectName, ...] = ()


class SubjectCipher:
    """Names the subjects of a domain, and wraps their keys under one epoch. Raises `KeyringError` when a key is missing."""

    def __init__(self, keys: Keys, domain: str, epoch: int) -> None:
        self.domain = domain
        self.epoch = epoch
        self._naming = hmac.new(keys.derive(_NAMING, domain, NAMING_EPOCH), digestmod="sha256")
        self._wrapping = AESSIV(b"".join(keys.derive(half, domain, epoch) for half in _WRAPPING))

    def __repr__(self) -> str:
        return f"SubjectCipher(domain={self.domain!r}, epoch={self.epoch})"

    def name(self, subject: str) -> SubjectName:
        """The subject's name, however its text is composed (NFC)."""
        naming = self._naming.copy()
        naming.update(unicodedata.normalize("NFC", subject).encode())
        return SubjectName(self.domain, naming.digest())

    def wrap(self, key: bytes, name: SubjectName) -> bytes:
        """The key as the catalog may hold it: usable under this name, domain and epoch only."""
        return self._wrapping.encrypt(key, self._bound_to(name))

    def unwrap(self, wrapped: bytes, name: SubjectName) -> bytes:
        """The inverse of `wrap`. Raises `KeyringError` when it was wrapped under other keys or for another subject."""
        try:
            return self._wrapping.decrypt(wrapped, self._bound_to(name))
        except InvalidTag:
            raise KeyringError(
                f"keys of subjects of domain {self.domain} in the catalog were not wrapped under this key of epoch "
                f"{self.epoch}; use the key file that they were made with"
            ) from None

    def _bound_to(self, name: SubjectName) -> list[bytes]:
        return [b"cdc-masker subject", self.domain.encode(), str(self.epoch).encode(), name.digest]


def per_subject(policy: Policy) -> list[str]:
    """The domains in which subjects have keys of their own."""
    return [domain.name for domain in policy.domains if domain.per_subject]


def naming(domain: str) -> tuple[str, str, int]:
    """Method, domain and epoch of the key by which the subjects of a domain are named."""
    return _NAMING, domain, NAMING_EPOCH


def derivations(policy: Policy) -> Iterator[tuple[str, str, int]]:
    """Method, domain and epoch of each key that is needed for the subjects of a policy."""
    for domain in per_subject(policy):
        yield naming(domain)
        for half in _WRAPPING:
            yield half, domain, policy.key_epoch
