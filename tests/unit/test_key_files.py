"""Key files: for their owner only, never written over, changed as a whole, and refused without a word of what they hold."""

from __future__ import annotations

import base64
import errno
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cdc_masker.errors import KeyringError
from cdc_masker.keys import FileKeys, Keyring, RootKey, change, new_keyring, write
from cdc_masker.keys.keyring import DerivedKeys
from tests.unit.test_key_secrecy import frames_of, showing
from tests.unit.test_keyring import ROOT, ring


def test_a_key_file_holds_the_keys_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    write(ring(1, 2), path)
    assert path.stat().st_mode & 0o777 == 0o600
    loaded = FileKeys(path).load()
    assert loaded.ids() == {1: "k1", 2: "k2"}
    assert loaded.derive("m", "d", 2) == ring(1, 2).derive("m", "d", 2)


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
_DERIVED = f'{{"method":"m","domain":"d","key":"{_ENCODED}"}}'


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
        f'{{"format":1,"keys":[{{"id":"a","epoch":1,"root":"{_ENCODED}","derived":[]}}]}}',
        '{"format":1,"keys":[{"id":"a","epoch":1}]}',
        f'{{"format":1,"keys":[{{"id":"a","epoch":1,"derived":[{_DERIVED},{_DERIVED}]}}]}}',
        f'{{"format":1,"keys":[{{"id":"a","epoch":1,"derived":[{_DERIVED.replace("=", "")}]}}]}}',
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
    told = repr(caught.value) + frames_of(caught.value)
    assert caught.value.__context__ is None
    assert showing(told, ROOT) == []
    assert _ENCODED[:20] not in told


def test_a_bundle_file_holds_derived_keys(tmp_path: Path) -> None:
    keys = {("tokenize", "email"): bytes(range(32)), ("tokenize", "phone"): bytes(range(1, 33))}
    write(Keyring.of([DerivedKeys("k1", 1, keys), RootKey("k2", 2, ROOT)]), tmp_path / "bundle.json")
    loaded = FileKeys(tmp_path / "bundle.json").load()
    assert {purpose: loaded.derive(*purpose, 1) for purpose in keys} == keys
    assert loaded.derive("tokenize", "email", 2) == ring(2).derive("tokenize", "email", 2)


def _rotated(keys: Keyring) -> Keyring:
    return Keyring.of([*keys.keys, RootKey("fresh", max(keys.ids()) + 1, ROOT)])


def test_a_change_replaces_the_file_and_keeps_it_private(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    write(ring(1), path)
    before = path.stat().st_ino
    assert change(path, _rotated).ids() == {1: "k1", 2: "fresh"}
    assert FileKeys(path).load().ids() == {1: "k1", 2: "fresh"}
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_ino != before  # who reads at this moment reads the old one to its end
    assert list(tmp_path.iterdir()) == [path]


def test_a_change_of_a_link_changes_the_file_behind_it(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    write(ring(1), tmp_path / "elsewhere" / "keys.json")
    link = tmp_path / "keys.json"
    link.symlink_to("elsewhere/keys.json")
    change(link, _rotated)
    assert link.is_symlink()
    assert FileKeys(link).load().ids() == {1: "k1", 2: "fresh"}


def test_what_a_killed_change_left_is_in_nobodys_way(tmp_path: Path) -> None:
    write(ring(1), tmp_path / "keys.json")
    (tmp_path / ".keys.json.new").write_text("half")
    change(tmp_path / "keys.json", _rotated)
    assert [path.name for path in tmp_path.iterdir()] == ["keys.json"]


def test_changes_at_once_are_all_made(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    write(ring(1), path)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: change(path, _rotated), range(16)))
    assert sorted(FileKeys(path).load().ids()) == list(range(1, 18))


@pytest.mark.parametrize("what", ["missing", "open", "other", "refused", "full"])
def test_a_change_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    path = tmp_path / "keys.json"
    if what != "missing":
        write(ring(1), path)
    if what == "open":
        path.chmod(0o644)
    if what == "other":
        path.write_text("{}")
    if what == "full":

        def full(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
    before = path.read_bytes() if path.exists() else None

    def refuse(keys: Keyring) -> Keyring:
        raise KeyringError("no")

    with pytest.raises(KeyringError) as caught:
        change(path, refuse if what == "refused" else _rotated)
    assert showing(str(caught.value), ROOT) == []
    assert (path.read_bytes() if path.exists() else None) == before
    assert [each.name for each in tmp_path.iterdir()] == ([] if before is None else ["keys.json"])


def test_a_file_that_could_not_be_written_whole_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(KeyringError, match="No space left"):
        write(ring(1), tmp_path / "keys.json")
    assert list(tmp_path.iterdir()) == []
