"""The algorithms under the methods against published vectors, in the form in which the methods call them.

`tests/vectors` names where each came from. FF1's samples of NIST are in `test_ff1.py`.
"""

from __future__ import annotations

import hmac
import json
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cdc_masker import methods
from cdc_masker.methods import Column, Compute
from cdc_masker.methods.ff1 import permutation
from cdc_masker.methods.token import digests
from cdc_masker.reveal import inverse
from tests.unit.building import KEYS, rule

VECTORS = Path(__file__).resolve().parent.parent / "vectors"


def cases(name: str) -> list[Any]:
    content = json.loads((VECTORS / f"{name}.json").read_text())
    assert "Wycheproof" in content["source"]
    return [pytest.param(*case[1:], id=str(case[0])) for case in content["cases"]]


@pytest.mark.parametrize(("key", "associated", "plain", "sealed", "valid"), cases("aes_siv"))
def test_aes_siv(key: str, associated: str, plain: str, sealed: str, valid: bool) -> None:
    cipher, data = AESSIV(bytes.fromhex(key)), [bytes.fromhex(associated)]
    assert (cipher.encrypt(bytes.fromhex(plain), data).hex() == sealed) == valid
    if valid:
        assert cipher.decrypt(bytes.fromhex(sealed), data).hex() == plain
    else:
        with pytest.raises(InvalidTag):
            cipher.decrypt(bytes.fromhex(sealed), data)


@pytest.mark.parametrize(("key", "message", "tag", "valid"), cases("hmac_sha256"))
def test_hmac_of_a_head_and_what_follows(key: str, message: str, tag: str, valid: bool) -> None:
    raw = bytes.fromhex(message)
    for head in range(0, len(raw) + 1, 5):
        digest = digests(bytes.fromhex(key), raw[:head])
        for _ in range(2):  # the head's state is not used up
            assert (digest(raw[head:]).hexdigest()[: len(tag)] == tag) == valid


@pytest.mark.parametrize(("root", "salt", "info", "size", "key", "valid"), cases("hkdf_sha256"))
def test_hkdf(root: str, salt: str, info: str, size: int, key: str, valid: bool) -> None:
    if not valid:  # longer than HKDF allows
        with pytest.raises(ValueError, match="derive keys larger"):
            HKDF(hashes.SHA256(), size, salt=bytes.fromhex(salt), info=bytes.fromhex(info))
        return
    salts = [bytes.fromhex(salt)] if salt else [b"", None]  # keyrings use none
    for each in salts:
        assert HKDF(hashes.SHA256(), size, salt=each, info=bytes.fromhex(info)).derive(bytes.fromhex(root)).hex() == key


@pytest.mark.parametrize(("key", "radix", "tweak", "plain", "sealed"), cases("ff1"))
def test_ff1_there_and_back(key: str, radix: int, tweak: str, plain: list[int], sealed: list[int]) -> None:
    before, after = (reduce(lambda number, numeral: number * radix + numeral, each, 0) for each in (plain, sealed))
    how = bytes.fromhex(key), radix, len(plain), bytes.fromhex(tweak)
    assert permutation(*how)(before) == after
    assert inverse(*how)(after) == before


def test_a_token_is_the_hmac_of_domain_and_value() -> None:
    made = methods.build(rule("c", "tokenize", domain="d")).compile(Column(place="c", type=None, domain="own"), KEYS)
    assert isinstance(made, Compute)
    expected = hmac.new(KEYS.derive("tokenize", "d", 1), b"\0\0\0\1d" + "Zoë".encode(), "sha256").hexdigest()
    assert made.function("Zoë") == expected[:32]
