"""Format-preserving encryption FF1 over integers.

Source: NIST SP 800-38G, "Methods for Format-Preserving Encryption", algorithms 6 (PRF) and 7 (FF1.Encrypt). There FF1 works
on strings of numerals; here on the integer that such a string writes, which is the same permutation. The tests hold it to
NIST's published samples. Algorithm 8, the way back, is in `cdc_masker.reveal`, made of the same rounds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

__all__ = ["ROUNDS", "Rounds", "enough", "permutation", "rounds"]

_LEAST = 1_000_000
ROUNDS = 10
_BLOCK = 16


class Rounds(NamedTuple):
    """What a Feistel network is made of: the `moduli` of even and odd rounds, and `summand(round, half)` for the other half."""

    moduli: tuple[int, int]
    summand: Callable[[int, int], int]


def enough(radix: int, length: int) -> bool:
    """Whether there are as many strings of so many numerals as NIST asks for."""
    values: int = radix**length
    return values >= _LEAST


def permutation(key: bytes, radix: int, length: int, tweak: bytes = b"") -> Callable[[int], int]:
    """A keyed permutation of the integers from 0 to `radix ** length` - 1.

    `key` has 16, 24 or 32 bytes. Raises `ValueError` where there are fewer integers than NIST allows.
    """
    moduli, summand = rounds(key, radix, length, tweak)

    def permute(number: int) -> int:
        left, right = divmod(number, moduli[1])
        for turn in range(ROUNDS):
            left, right = right, (left + summand(turn, right)) % moduli[turn % 2]
        return left * moduli[1] + right

    return permute


def rounds(key: bytes, radix: int, length: int, tweak: bytes) -> Rounds:
    """The rounds of that permutation."""
    if not enough(radix, length):
        raise ValueError("FF1 needs at least 1,000,000 values")
    # One block at a time through the same context is the raw AES permutation that the PRF is built on.
    encrypt = Cipher(algorithms.AES(key), modes.ECB()).encryptor().update  # noqa: S305
    left_length = length // 2
    moduli: tuple[int, int] = (radix**left_length, radix ** (length - left_length))
    half_bytes = ((moduli[1] - 1).bit_length() + 7) // 8
    sum_bytes = 4 * ((half_bytes + 3) // 4) + 4
    head = bytes((1, 2, 1)) + radix.to_bytes(3, "big") + bytes((ROUNDS, left_length % 256))
    first_block = encrypt(head + length.to_bytes(4, "big") + len(tweak).to_bytes(4, "big"))
    prefix = tweak + bytes(-(len(tweak) + half_bytes + 1) % _BLOCK)

    def prf(message: bytes) -> bytes:
        state = first_block
        for start in range(0, len(message), _BLOCK):
            mixed = int.from_bytes(state, "big") ^ int.from_bytes(message[start : start + _BLOCK], "big")
            state = encrypt(mixed.to_bytes(_BLOCK, "big"))
        return state

    def stretched(state: bytes) -> bytes:
        """At least `sum_bytes` bytes from the 16 of the PRF."""
        blocks = [state]
        for counter in range(1, -(-sum_bytes // _BLOCK)):
            mixed = int.from_bytes(state, "big") ^ counter
            blocks.append(encrypt(mixed.to_bytes(_BLOCK, "big")))
        return b"".join(blocks)

    def summand(turn: int, half: int) -> int:
        state = prf(prefix + bytes((turn,)) + half.to_bytes(half_bytes, "big"))
        return int.from_bytes(stretched(state)[:sum_bytes], "big")

    return Rounds(moduli, summand)
