"""The way back, for those who may: from a masked value to what it was, given the key.

Only what is encrypted has one: `encrypt`, `fpe`, and the tokens of integers. This is the only place that decrypts, and only the
command line may import it; a worker can't. Nothing here writes: who asked for what is put on record by the caller, before
anybody sees the answer.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from cdc_masker.engine import Engine
from cdc_masker.errors import KeyringError, PolicyError
from cdc_masker.kinds import Kind
from cdc_masker.lookup import Table
from cdc_masker.methods import Column, Keys, Method, Unmaskable, encrypt, ff1, fpe, subjects
from cdc_masker.methods.canonical import Form
from cdc_masker.methods.encrypt import Encrypt
from cdc_masker.methods.fpe import Fpe
from cdc_masker.methods.token import Tokenize
from cdc_masker.schemas import Type, from_postgres

__all__ = ["inverse", "reveal"]


def reveal(
    engine: Engine,
    keys: Keys,
    table: Table,
    column: str,
    masked: Any,
    *,
    path: str | None = None,
    type_: Type | None = None,
    subject_key: Callable[[str], bytes] | None = None,
) -> Any:
    """The JSON value that became `masked`, a JSON value too, in that column, or in the part of it that a rule's `path` names.

    `engine` is the policy under which it was masked, `type_` the type of the column (or part) in the events, by default what
    the rule says. `subject_key` gives the subject's own key in a domain, where the rule names a subject. Raises `PolicyError`
    where there is no way back, and `KeyringError` where the value was not masked with these keys.
    """
    for rule in engine.lookup.rules(table, column):
        if rule.path == path:
            stated = from_postgres(rule.type) if rule.type is not None and path is None else None
            return _reveal(engine.method(rule), engine.column(rule, table, column, type_ or stated), keys, masked, subject_key)
    raise PolicyError(f"{table.schema}.{table.name}.{column}{path or ''}", "no rule decides about it, so there is no way back")


def _reveal(method: Method, column: Column, keys: Keys, masked: Any, subject_key: Callable[[str], bytes] | None) -> Any:
    def key(purpose: str, domain: str | None) -> bytes:
        space = column.space(domain)
        if method.named_subject is None:
            return column.key(keys, purpose, space)
        if subject_key is None:
            raise KeyringError("this was masked under a subject's own key; name the subject")
        return subjects.derived(subject_key(space.name), purpose, space, column.epoch)

    match method:
        case Encrypt(domain=domain):
            halves = b"".join(key(purpose, domain) for purpose in encrypt.PURPOSES)
            return _decrypted(halves, encrypt.associated(column.space(domain), column.epoch), masked)
        case Fpe(domain=domain):
            return _decoded(method, key(method.purpose, domain), column.space(domain).name.encode(), masked)
        case Tokenize(domain=domain):
            form = method.form(column) or Form(Kind.INTEGER, 64)
            if form.kind is Kind.INTEGER and _is_integer(masked, form.bits):
                return _number(key(f"{method.name}.integer", domain), column.space(domain).name.encode(), form.bits, masked)
    raise PolicyError(column.place, f"what method {method.name} made of this value can't be turned back, with any key")


def inverse(key: bytes, radix: int, length: int, tweak: bytes = b"") -> Callable[[int], int]:
    """The inverse of `ff1.permutation` (NIST SP 800-38G, algorithm 8)."""
    moduli, summand = ff1.rounds(key, radix, length, tweak)

    def undo(number: int) -> int:
        left, right = divmod(number, moduli[1])
        for turn in reversed(range(ff1.ROUNDS)):
            left, right = (right - summand(turn, left)) % moduli[turn % 2], left
        return left * moduli[1] + right

    return undo


_NOT_OURS = "this value was not masked with this key, domain and epoch, or it was changed since"


def _decrypted(key: bytes, associated: list[bytes], masked: Any) -> Any:
    if not isinstance(masked, str):
        raise KeyringError(_NOT_OURS)
    try:
        sealed = base64.b64decode(masked + "=" * (-len(masked) % 4), altchars=b"-_", validate=True)
        return orjson.loads(AESSIV(key).decrypt(sealed, associated))
    except (binascii.Error, ValueError, InvalidTag):
        raise KeyringError(_NOT_OURS) from None


def _decoded(method: Fpe, key: bytes, tweak: bytes, masked: Any) -> str:
    def undo(number: int, length: int) -> int:
        return inverse(key, method.of.radix, length, tweak)(number)

    if not isinstance(masked, str):
        raise KeyringError(_NOT_OURS)
    try:
        return fpe.changed(masked, method.of, undo, method.wrong_by, None if method.wrong_by is None else 0)
    except Unmaskable:
        raise KeyringError(_NOT_OURS) from None


_NUMERAL = re.compile(r"-?[0-9]{1,19}")


def _is_integer(masked: Any, bits: int) -> bool:
    half = 1 << (bits - 1)
    if isinstance(masked, str):
        return _NUMERAL.fullmatch(masked) is not None and -half <= int(masked) < half
    return type(masked) is int and -half <= masked < half


def _number(key: bytes, tweak: bytes, bits: int, masked: int | str) -> int | str:
    half = 1 << (bits - 1)
    number = inverse(key, 2, bits, tweak)(int(masked) + half) - half
    return str(number) if isinstance(masked, str) else number
