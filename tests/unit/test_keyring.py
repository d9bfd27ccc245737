"""Keys: derived as RFC 5869 says, apart from each other, and never shown."""

from __future__ import annotations

import base64
import hmac
import pickle
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from cdc_masker.errors import KeyringError
from cdc_masker.keys import FileKeys, Keyring, new_keyring, write
from cdc_masker.keys.keyring import RootKey

ROOT = b"\x9f\x01no key that anyone uses!\xfe\x00\x80\x81\x82\x83"
SHOWN = [
    ROOT.hex(),
    base64.b64encode(ROOT).decode(),
    base64.urlsafe_b64encode(ROOT).decode(),
    "no key that",
    repr(ROOT)[2:-1],
]


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
    assert [root.epoch for root in one.roots] == [1]
    assert one.derive("m", "d", 1) != other.derive("m", "d", 1)


def test_a_key_file_holds_the_keys_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    write(ring(1, 2), path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert FileKeys(path).load() == ring(1, 2)


def test_a_key_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    write(ring(), path)
    before = path.read_bytes()
    with pytest.raises(KeyringError, match="never overwritten"):
        write(new_keyring(), path)
    assert path.read_bytes() == before


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyringError, match="can't be written"):
        write(ring(), tmp_path / "nowhere" / "keys.json")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o620, 0o601])
def test_a_key_file_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "keys.json"
    write(ring(), path)
    path.chmod(mode)
    with pytest.raises(KeyringError, match="chmod 600"):
        FileKeys(path).load()


def test_a_missing_key_file_tells_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(KeyringError, match="keys new"):
        FileKeys(tmp_path / "keys.json").load()


_ENCODED = base64.b64encode(ROOT).decode()


@pytest.mark.parametrize(
    "content",
    [
        _ENCODED,
        f'{{"format":1,"keys":["{_ENCODED}"]}}',
        f'{{"format":1,"keys":[{{"id":"a","epoch":1,"root":"{_ENCODED}!"}}]}}',
        f'{{"format":1,"keys":[{{"id":"a","epoch":1,"root":"{_ENCODED}","{_ENCODED}":1}}]}}',
        f'{{"format":1,"keys":[{{"id":"a","epoch":"{_ENCODED}","root":"{_ENCODED}"}}]}}',
        f'{{"format":1,"keys":[{{"id":"a","epoch":0,"root":"{_ENCODED}"}}]}}',
        f'{{"format":1,"keys":[{{"id":"a","epoch":1,"root":"{_ENCODED[:20]}"}}]}}',
        f'{{"format":"{_ENCODED}","keys":[]}}',
        f'{{"format":2,"keys":[{{"id":"a","epoch":1,"root":"{_ENCODED}"}}]}}',
        '{"format":1,"keys":[]}',
        f'{{"format":1,"keys":[{{"id":"a","epoch":1,"root":"{_ENCODED}"',
        b"\xff\xfe" + ROOT,
        b"",
    ],
)
def test_a_file_that_is_no_key_file_is_refused_without_showing_it(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(0o600)
    with pytest.raises(KeyringError) as caught:
        FileKeys(path).load()
    assert "keys.json" in str(caught.value) or "keys new" in str(caught.value)
    assert [secret for secret in (*SHOWN, _ENCODED[:20]) if secret in str(caught.value) + repr(caught.value)] == []


def test_nothing_that_prints_a_keyring_shows_a_root() -> None:
    keys = ring(1, 2)
    console = Console(file=StringIO(), width=200)
    console.print(keys, keys.roots[0])
    assert isinstance(console.file, StringIO)
    printed = "".join([repr(keys), str(keys), f"{keys}", repr(keys.roots), str(keys.roots[0]), console.file.getvalue()])
    assert "k1" in printed
    assert [secret for secret in SHOWN if secret in printed] == []


def test_a_keyring_travels_to_another_process() -> None:
    copy = pickle.loads(pickle.dumps(ring(1, 2)))
    assert copy == ring(1, 2)
    assert copy.derive("tokenize", "email", 2) == ring(1, 2).derive("tokenize", "email", 2)
