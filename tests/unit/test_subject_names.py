"""Names of subjects and the wrapping of their keys: nothing of either shows, and neither can be put to another use."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from hypothesis import given
from hypothesis import strategies as st

from cdc_masker.errors import KeyringError
from cdc_masker.keys import Keyring
from cdc_masker.keys.keyring import RootKey
from cdc_masker.policies import Domain, Policy
from cdc_masker.subjects import SubjectCipher, SubjectName, derivations

RING = Keyring.of([RootKey(id=f"k-{epoch}", epoch=epoch, root=bytes([epoch]) * 32) for epoch in (1, 2)])
KEY = bytes(range(32))
GOLDEN_NAME = "5581c5b780245c67ceb26714785317b2991243dda278e15fd608e03cceb2eea3"
GOLDEN_WRAPPED = "7b1586e7a7c9af7cb9a81d2d77189177d0cafb71bb6b6fc23c04311861fd855408a09ecbeecb7cbb2796ce39dac134c0"


def cipher(domain: str = "people", epoch: int = 1) -> SubjectCipher:
    return SubjectCipher(RING, domain, epoch)


@given(st.text(), st.text())
def test_a_subject_has_one_name_in_a_domain_and_no_two_share_it(one: str, other: str) -> None:
    same = unicodedata.normalize("NFC", one) == unicodedata.normalize("NFC", other)
    assert (cipher().name(one) == cipher().name(other)) == same


def test_a_name_is_of_a_domain_and_stays_when_keys_are_rotated() -> None:
    assert cipher().name("7") != cipher("patients").name("7")
    assert cipher().name("7").digest != cipher("patients").name("7").digest
    assert cipher().name("7") == cipher(epoch=2).name("7")
    assert cipher().name("7").digest != SubjectCipher(Keyring.of([RootKey("x", 1, bytes(32))]), "people", 1).name("7").digest


def test_composed_and_decomposed_text_name_the_same_subject() -> None:
    assert cipher().name("Zo\u00eb") == cipher().name("Zoe\u0308")


def test_names_and_wrapping_are_as_they_were() -> None:
    """Golden: a release that gives others could not find whom it is to erase."""
    name = cipher().name("7")
    assert name.digest.hex() == GOLDEN_NAME
    assert cipher().wrap(KEY, name).hex() == GOLDEN_WRAPPED


def test_what_is_wrapped_can_be_unwrapped() -> None:
    wrapped = cipher().wrap(KEY, cipher().name("7"))
    assert cipher().unwrap(wrapped, cipher().name("7")) == KEY
    assert KEY not in wrapped


@pytest.mark.parametrize("change", ["subject", "domain", "epoch", "root", "bit", "length"])
def test_a_wrapped_key_is_good_for_one_subject_under_one_key(change: str) -> None:
    name = cipher().name("7")
    wrapped = cipher().wrap(KEY, name)
    attempts: dict[str, tuple[SubjectCipher, bytes, SubjectName]] = {
        "subject": (cipher(), wrapped, cipher().name("8")),
        "domain": (cipher("patients"), wrapped, name),
        "epoch": (cipher(epoch=2), wrapped, name),
        "root": (SubjectCipher(Keyring.of([RootKey("x", 1, bytes(32))]), "people", 1), wrapped, name),
        "bit": (cipher(), bytes([wrapped[0] ^ 1]) + wrapped[1:], name),
        "length": (cipher(), wrapped[:-1], name),
    }
    unwrapping, text, named = attempts[change]
    with pytest.raises(KeyringError, match="use the key file that they were made with"):
        unwrapping.unwrap(text, named)


def test_neither_a_cipher_nor_what_it_gives_shows_a_key() -> None:
    shown = repr(cipher()) + str(cipher()) + repr(vars(cipher()))
    assert "people" in shown
    for half in ("subject.wrap.mac", "subject.wrap.ctr", "subject.name"):
        key = RING.derive(half, "people", 1)
        assert key.hex() not in shown
        assert repr(key)[2:-1] not in shown


def test_what_a_policy_needs_is_what_its_ciphers_derive() -> None:
    policy = Policy.of(1, key_epoch=2, domains=[Domain(name="people", per_subject=True), Domain(name="email")])
    asked: list[tuple[Any, ...]] = []

    class Noting:
        def derive(self, method: str, domain: str, epoch: int) -> bytes:
            asked.append((method, domain, epoch))
            return bytes(32)

    SubjectCipher(Noting(), "people", 2)
    assert sorted(asked) == sorted(derivations(policy))
    assert {domain for _, domain, _ in asked} == {"people"}


def test_wrapping_is_aes_siv_of_512_bits() -> None:
    name = cipher().name("7")
    key = RING.derive("subject.wrap.mac", "people", 1) + RING.derive("subject.wrap.ctr", "people", 1)
    data = [b"cdc-masker subject", b"people", b"1", name.digest]
    assert AESSIV(key).decrypt(cipher().wrap(KEY, name), data) == KEY
