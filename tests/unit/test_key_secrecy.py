"""Nothing that prints, converts, copies or pickles a keyring shows a key, in whatever encoding."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import logging
import logging.handlers
import pickle
import pprint
import traceback
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
import rich
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from pydantic_core import PydanticSerializationError
from rich.console import Console
from rich.traceback import Traceback

from cdc_masker.errors import KeyringError
from cdc_masker.keys import FileKeys, Keyring, RootKey, write
from cdc_masker.keys.keyring import DerivedKeys
from cdc_masker.leaks.encodings import forms

_keys = st.binary(max_size=8).map(lambda seed: hashlib.sha256(seed).digest())
# Each example prints and converts some sixty times, and one key is as good as another to see it shown.
_law = settings(max_examples=10, deadline=None, phases=(Phase.explicit, Phase.generate))


def showing(shown: bytes | str, *keys: bytes) -> list[str]:
    """The encodings in which one of these keys stands there."""
    found = shown.encode() if isinstance(shown, str) else shown
    return [form.encoding for key in keys for form in forms(key) if form.pattern in found] + [
        "numbers" for key in keys if f"{list(key)}"[1:-1].encode() in found or str(int.from_bytes(key, "big")).encode() in found
    ]


def frames_of(error: BaseException) -> str:
    """The local variables of the frames of the package that an error went through, as a tool that reports errors shows them."""
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    ours = [frame for frame in shown.stack if "/cdc_masker/" in frame.filename and "/tests/" not in frame.filename]
    assert ours
    return "".join(traceback.StackSummary.from_list(ours).format())


def _rings(root: bytes, derived: bytes) -> list[object]:
    """A keyring of both kinds, what it is made of, and what holds it."""
    ring = Keyring.of([RootKey("k-one", 1, root), DerivedKeys("k-two", 2, {("tokenize", "email"): derived})])

    @dataclasses.dataclass
    class Holder:
        keys: Keyring

    return [ring, *ring.keys, *(secret for key in ring.keys for secret in key.secrets()), {"keys": ring}, Holder(ring)]


def _on_a_console(thing: object) -> str:
    console = Console(file=StringIO(), width=200)
    console.print(thing)
    rich.inspect(thing, console=console, all=True)
    rich.inspect(thing, console=console, private=True, methods=True)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def _in_an_error(thing: object) -> str:
    """A traceback of an error that names it, with the local variables of all frames."""
    try:
        thing.missing  # type: ignore[attr-defined]  # noqa: B018
    except AttributeError as error:
        console = Console(file=StringIO(), width=200)
        console.print(Traceback.from_exception(type(error), error, error.__traceback__, show_locals=True))
        assert isinstance(console.file, StringIO)
        return console.file.getvalue() + "".join(
            traceback.TracebackException.from_exception(error, capture_locals=True).format()
        )
    raise AssertionError


TELLING: list[Callable[[Any], str | bytes]] = [
    repr,
    str,
    ascii,
    "{}".format,
    lambda thing: "%s %r" % (thing, thing),  # noqa: UP031
    pprint.pformat,
    lambda thing: str(getattr(thing, "__dict__", "")),
    lambda thing: json.dumps(thing, default=repr),
    lambda thing: orjson.dumps(thing, default=repr, option=orjson.OPT_PASSTHROUGH_DATACLASS),
    _on_a_console,
    _in_an_error,
]
CONVERTING: list[Callable[[Any], Any]] = [
    json.dumps,
    orjson.dumps,
    msgspec.to_builtins,
    msgspec.json.encode,
    msgspec.msgpack.encode,
    msgspec.structs.asdict,
    dataclasses.asdict,
    dataclasses.astuple,
    TypeAdapter(Any).dump_python,
    TypeAdapter(Any).dump_json,
    vars,
    copy.deepcopy,
    *(lambda thing, protocol=protocol: pickle.dumps(thing, protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)),
]
REFUSALS = (TypeError, KeyringError, PydanticSerializationError, AttributeError, pickle.PicklingError)


@_law
@given(_keys, _keys)
def test_nothing_that_tells_about_a_keyring_shows_a_key(root: bytes, derived: bytes) -> None:
    for thing in _rings(root, derived):
        for tell in TELLING:
            assert showing(tell(thing), root, derived) == []


@_law
@given(_keys, _keys)
def test_nothing_that_converts_or_copies_a_keyring_gives_a_key_away(root: bytes, derived: bytes) -> None:
    for thing in _rings(root, derived):
        for convert in CONVERTING:
            try:
                converted = convert(thing)
            except REFUSALS as refusal:
                assert showing(repr(refusal) + "".join(traceback.format_exception(refusal)), root, derived) == []
            else:
                told = converted if isinstance(converted, bytes) else repr(converted)
                assert showing(told, root, derived) == []


def test_what_is_shown_is_ids_and_epochs() -> None:
    ring, *_ = _rings(b"r" * 32, b"d" * 32)
    assert repr(ring) == "Keyring(keys=(RootKey(id='k-one', epoch=1), DerivedKeys(id='k-two', epoch=2)))"


def test_a_keyring_made_in_memory_does_not_pickle() -> None:
    ring = Keyring.of([RootKey("k1", 1, b"r" * 32)])
    with pytest.raises(KeyringError, match="made in memory can't be pickled; load it from"):
        pickle.dumps(ring)
    with pytest.raises(KeyringError, match="never pickled"):
        pickle.dumps(ring.keys[0])


@pytest.fixture
def loaded(tmp_path: Path) -> Iterator[tuple[Keyring, bytes]]:
    root = bytes(range(100, 132))
    write(Keyring.of([RootKey("k1", 1, root), RootKey("k2", 2, root[::-1])]), tmp_path / "keys.json")
    yield FileKeys(tmp_path / "keys.json").load(), root


def test_a_loaded_keyring_pickles_as_the_place_it_came_from_and_its_ids(loaded: tuple[Keyring, bytes]) -> None:
    ring, root = loaded
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        pickled = pickle.dumps(ring, protocol)
        assert showing(pickled, root, root[::-1]) == []
        assert b"keys.json" in pickled
        assert pickle.loads(pickled).derive("tokenize", "email", 2) == ring.derive("tokenize", "email", 2)


def test_a_pickled_keyring_finds_keys_that_were_added_since(loaded: tuple[Keyring, bytes], tmp_path: Path) -> None:
    ring, root = loaded
    pickled = pickle.dumps(ring)
    (tmp_path / "keys.json").unlink()
    write(Keyring.of([RootKey("k3", 3, root), *ring.keys]), tmp_path / "keys.json")
    assert pickle.loads(pickled).derive("m", "d", 1) == ring.derive("m", "d", 1)


def test_a_pickled_keyring_takes_no_other_keys(loaded: tuple[Keyring, bytes], tmp_path: Path) -> None:
    ring, root = loaded
    pickled = pickle.dumps(ring)
    for others in ([RootKey("k1", 1, root)], [ring.keys[0], RootKey("other", 2, root)]):
        (tmp_path / "keys.json").unlink()
        write(Keyring.of(others), tmp_path / "keys.json")
        with pytest.raises(KeyringError, match="no key 'k2' of epoch 2 here"):
            pickle.loads(pickled)
    (tmp_path / "keys.json").unlink()
    with pytest.raises(KeyringError, match="can't be read"):
        pickle.loads(pickled)


def test_a_log_record_that_is_pickled_for_another_host_carries_no_key(loaded: tuple[Keyring, bytes]) -> None:
    ring, root = loaded
    record = logging.LogRecord("test", logging.INFO, "file", 1, "under %s", (ring,), None)
    record.keys = ring
    handler = logging.handlers.SocketHandler("", None)
    sent = handler.makePickle(record)
    assert b"k1" in sent
    assert showing(sent, root, root[::-1]) == []
