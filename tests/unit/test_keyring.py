"""Keys: derived as RFC 5869 says, and apart from each other. That nothing shows them: `test_key_secrecy.py`."""

from __future__ import annotations

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_masker.errors import KeyringError
from cdc_masker.keys import Keyring, RootKey, new_keyring

ROOT = b"\x9f\x01no key that anyone uses!\xfe\x00\x80\x81\x82\x83"


def ring(*epochs: int) -> Keyring:
    return Keyring.of(RootKey(id=f"k{epoch}", epoch=epoch, root=ROOT) for epoch in epochs or (1,))


def test_derives_as_rfc_5869_says() -> None:
    parts = [b"cdc-masker", b"tokenize", "straße".encode(), b"1"]
    info = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    extracted = hmac.digest(bytes(32), ROOT, "sha256")
    expanded = hmac.digest(extracted, info + b"\x01", "sha256")
    assert ring().derive("tokenize", "straße", 1) == expanded


_names = st.text(alphabet="ab:\x00", max_size=4)


@given(st.lists(st.tuples(_names, _names, st.integers(1, 12)), min_size=2, max_size=6, unique=True))
def test_keys_of_different_purposes_differ(purposes: list[tuple[str, str, int]]) -> None:
    keys = ring(*range(1, 13))
    assert len({keys.derive(*purpose) for purpose in purposes}) == len(purposes)


def test_moving_a_boundary_gives_another_key() -> None:
    keys = ring(1, 11)
    derived = [
        keys.derive(*purpose)
        for purpose in [("ab", "c", 1), ("a", "bc", 1), ("", "abc", 1), ("abc", "", 1), ("ab", "c1", 1), ("ab", "c", 11)]
    ]
    assert len(set(derived)) == len(derived)
    assert ROOT not in derived


def test_an_epoch_without_a_key_is_refused_by_number() -> None:
    with pytest.raises(KeyringError, match="no key of epoch 3"):
        ring(1, 2).derive("tokenize", "email", 3)


def test_two_keys_of_one_epoch_are_refused() -> None:
    with pytest.raises(KeyringError, match="same epoch"):
        ring(2, 2)


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_root_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(KeyringError, match="'short' does not hold 32 bytes"):
        Keyring.of([RootKey(id="short", epoch=1, root=bytes(length))])


def test_new_keyrings_differ_and_start_with_epoch_1() -> None:
    one, other = new_keyring(), new_keyring()
    assert one.ids().keys() == {1}
    assert one.derive("m", "d", 1) != other.derive("m", "d", 1)
