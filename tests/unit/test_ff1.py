"""FF1 against NIST's published samples, and what a permutation must be."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_masker.methods.ff1 import permutation
from cdc_masker.reveal import inverse

_KEY = "2B7E151628AED2A6ABF7158809CF4F3C"
_KEY_192 = _KEY + "EF4359D8D580AA4F"
_KEY_256 = _KEY_192 + "7F036D6F04FC6A94"
_TEN, _ELEVEN = "39383736353433323130", "3737373770717273373737"
_DIGITS, _LETTERS = "0123456789", "0123456789abcdefghi"
_NUMERALS = "0123456789abcdefghijklmnopqrstuvwxyz"

# "Examples with Intermediate Values" of SP 800-38G, FF1 samples 1 to 9: key, radix, tweak, plaintext, ciphertext.
_SAMPLES = [
    (_KEY, 10, "", _DIGITS, "2433477484"),
    (_KEY, 10, _TEN, _DIGITS, "6124200773"),
    (_KEY, 36, _ELEVEN, _LETTERS, "a9tv40mll9kdu509eum"),
    (_KEY_192, 10, "", _DIGITS, "2830668132"),
    (_KEY_192, 10, _TEN, _DIGITS, "2496655549"),
    (_KEY_192, 36, _ELEVEN, _LETTERS, "xbj3kv35jrawxv32ysr"),
    (_KEY_256, 10, "", _DIGITS, "6657667009"),
    (_KEY_256, 10, _TEN, _DIGITS, "1001623463"),
    (_KEY_256, 36, _ELEVEN, _LETTERS, "xs8a0azh2avyalyzuwd"),
]


@pytest.mark.parametrize(
    ("key", "radix", "tweak", "plain", "expected"), _SAMPLES, ids=[f"sample {n + 1}" for n in range(len(_SAMPLES))]
)
def test_matches_the_nist_sample(key: str, radix: int, tweak: str, plain: str, expected: str) -> None:
    permute = permutation(bytes.fromhex(key), radix, len(plain), bytes.fromhex(tweak))
    assert _numeral_string(permute(int(plain, radix)), radix, len(plain)) == expected


@pytest.mark.parametrize(
    ("key", "radix", "tweak", "plain", "cipher"), _SAMPLES, ids=[f"sample {n + 1}" for n in range(len(_SAMPLES))]
)
def test_the_nist_sample_is_turned_back(key: str, radix: int, tweak: str, plain: str, cipher: str) -> None:
    undo = inverse(bytes.fromhex(key), radix, len(plain), bytes.fromhex(tweak))
    assert _numeral_string(undo(int(cipher, radix)), radix, len(plain)) == plain


@given(st.integers(6, 256), st.integers(2, 1000), st.data())
def test_the_inverse_turns_each_number_back(length: int, radix: int, data: st.DataObject) -> None:
    length = max(length, 20) if radix < 10 else length
    number = data.draw(st.integers(0, radix**length - 1))
    permuted = permutation(bytes(32), radix, length, b"t")(number)
    assert 0 <= permuted < radix**length
    assert inverse(bytes(32), radix, length, b"t")(permuted) == number


def test_a_small_domain_is_permuted_without_collisions_and_never_left() -> None:
    permute = permutation(bytes(32), 10, 6)
    sample = random.Random(1).sample(range(1_000_000), 20_000)
    images = {permute(number) for number in [0, 999_999, *sample]}
    assert len(images) == len({0, 999_999, *sample})
    assert min(images) >= 0
    assert max(images) <= 999_999


@pytest.mark.parametrize(("radix", "length"), [(10, 5), (2, 19), (36, 3), (999_999, 1)])
def test_a_domain_below_a_million_is_refused(radix: int, length: int) -> None:
    with pytest.raises(ValueError, match="1,000,000"):
        permutation(bytes(32), radix, length)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_different_numbers_stay_different(one: int, other: int) -> None:
    permute = permutation(bytes(32), 2, 64)
    assert (permute(one) == permute(other)) == (one == other)
    assert 0 <= permute(one) < 2**64


@pytest.mark.parametrize("length", [20, 21, 31, 33, 63, 64, 127, 200])
def test_odd_and_long_domains_are_permuted_too(length: int) -> None:
    permute = permutation(bytes(32), 2, length, b"tweak")
    numbers = [*range(300), *(2**length - 1 - n for n in range(300))]
    images = {permute(number) for number in numbers}
    assert len(images) == len(set(numbers))
    assert all(0 <= image < 2**length for image in images)


def test_key_and_tweak_each_change_the_permutation() -> None:
    images = {
        permutation(bytes(32), 10, 10, b"")(5),
        permutation(bytes(31) + b"\1", 10, 10, b"")(5),
        permutation(bytes(32), 10, 10, b"x")(5),
    }
    assert len(images) == 3


def _numeral_string(number: int, radix: int, length: int) -> str:
    numerals = []
    for _ in range(length):
        number, numeral = divmod(number, radix)
        numerals.append(_NUMERALS[numeral])
    return "".join(reversed(numerals))
