"""Providers of keys: a file, a setting or a command, of which exactly one is set, and none of which tells what it read."""

from __future__ import annotations

import os
import pickle
import shlex
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from cdc_masker import keys
from cdc_masker.errors import KeyringError, SetupError
from cdc_masker.keys import CommandKeys, EnvironmentKeys, FileKeys, Keyring, write
from cdc_masker.settings import PREFIX, load, source_of
from tests.unit.test_key_secrecy import frames_of, showing
from tests.unit.test_keyring import ROOT, ring


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.upper().startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def document(tmp_path: Path) -> str:
    write(ring(1), tmp_path / "keys.json")
    return (tmp_path / "keys.json").read_text()


def same(one: Keyring, other: Keyring) -> bool:
    return one.ids() == other.ids() and one.derive("m", "d", 1) == other.derive("m", "d", 1)


def python(*lines: str) -> str:
    return shlex.join([sys.executable, "-c", "\n".join(lines)])


def refusal(provider: EnvironmentKeys | CommandKeys) -> str:
    with pytest.raises(KeyringError) as caught:
        provider.load()
    assert showing(repr(caught.value) + frames_of(caught.value), ROOT) == []
    assert caught.value.__context__ is None
    return str(caught.value)


def test_keys_come_from_the_setting_that_is_set(document: str, tmp_path: Path) -> None:
    for settings in (
        load(keys_file=tmp_path / "keys.json"),
        load(keys=document),
        load(key_command="cat keys.json"),
    ):
        assert same(keys.source(settings).load(), ring(1))


def test_no_provider_is_refused_with_the_way_to_get_one() -> None:
    with pytest.raises(SetupError, match=r"CDC_MASKER_KEYS_FILE is not set; .* `cdc-masker keys new`"):
        keys.source(load())


@pytest.mark.parametrize("absent", ["keys_file", "keys", "key_command", None])
def test_more_than_one_provider_is_refused(absent: str | None) -> None:
    present = {"keys_file": "keys.json", "keys": "{}", "key_command": "true"}
    present.pop(absent or "", None)
    with pytest.raises(SetupError, match="more than one of CDC_MASKER_KEYS_FILE, CDC_MASKER_KEYS and CDC_MASKER_KEY_COMMAND"):
        keys.source(load(**present))


def test_a_key_file_is_no_secret_that_is_read_into_the_settings(
    monkeypatch: pytest.MonkeyPatch, document: str, tmp_path: Path
) -> None:
    monkeypatch.setenv("CDC_MASKER_KEYS_FILE", str(tmp_path / "keys.json"))
    assert load().keys is None
    assert (source_of("keys"), source_of("keys_file")) == ("default", "CDC_MASKER_KEYS_FILE")
    assert isinstance(keys.source(load()), FileKeys)


def test_a_document_in_the_environment_is_not_shown(monkeypatch: pytest.MonkeyPatch, document: str) -> None:
    monkeypatch.setenv("CDC_MASKER_KEYS", document)
    provider = keys.source(load())
    shown = repr(load()) + str(load().model_dump()) + load().model_dump_json() + repr(provider) + repr(provider.load().source)
    assert showing(shown, ROOT) == []


@pytest.mark.parametrize("content", ["{", '{"format":1,"keys":[]}', ROOT.hex()])
def test_a_setting_that_holds_no_document_is_refused_by_name(content: str) -> None:
    assert "CDC_MASKER_KEYS holds no key document" in refusal(EnvironmentKeys(SecretStr(content)))


def test_keys_of_the_environment_pickle_as_the_name_of_the_setting(monkeypatch: pytest.MonkeyPatch, document: str) -> None:
    monkeypatch.setenv("CDC_MASKER_KEYS", document)
    pickled = pickle.dumps(keys.source(load()).load())
    assert showing(pickled, ROOT) == []
    assert same(pickle.loads(pickled), ring(1))
    monkeypatch.delenv("CDC_MASKER_KEYS")
    with pytest.raises(KeyringError, match="CDC_MASKER_KEYS is not set here"):
        pickle.loads(pickled)


def test_keys_of_a_command_pickle_as_the_command(document: str) -> None:
    pickled = pickle.dumps(CommandKeys("cat keys.json").load())
    assert b"cat keys.json" in pickled
    assert showing(pickled, ROOT) == []
    assert same(pickle.loads(pickled), ring(1))


def test_a_command_is_run_without_a_shell(document: str, tmp_path: Path) -> None:
    assert same(CommandKeys("cat 'keys.json'").load(), ring(1))
    assert "failed with exit code 1" in refusal(CommandKeys("cat keys.json; touch made"))
    assert "failed with exit code 1" in refusal(CommandKeys("cat $HOME/keys.json"))
    assert [path.name for path in tmp_path.iterdir()] == ["keys.json"]


def test_a_command_that_fails_tells_its_exit_code_and_nothing_that_it_printed(
    document: str, capfd: pytest.CaptureFixture[str]
) -> None:
    told = refusal(
        CommandKeys(
            python(
                "import sys", "text = open('keys.json').read()", "print(text, text, file=sys.stderr)", "print(text)", "exit(7)"
            )
        )
    )
    assert told == "CDC_MASKER_KEY_COMMAND failed with exit code 7; run it by hand to see what it says"
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")


def test_what_a_command_prints_to_stderr_does_not_matter(document: str, capfd: pytest.CaptureFixture[str]) -> None:
    provider = CommandKeys(
        python("import sys", "text = open('keys.json').read()", "print(text, file=sys.stderr)", "print(text)")
    )
    assert same(provider.load(), ring(1))
    assert capfd.readouterr().err == ""


def test_a_command_that_prints_no_document_is_refused(document: str) -> None:
    assert "printed is no key document" in refusal(CommandKeys(python("text = open('keys.json').read()", "print(text * 2)")))


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("no-such-program-anywhere", "can't be run (No such file or directory)"),
        ("cat 'keys.json", "is not a command line"),
        ("  ", "is not a command line"),
        ("cat \0", "is not a command line"),
    ],
)
def test_a_command_that_cannot_be_run_is_refused(command: str, told: str) -> None:
    assert told in refusal(CommandKeys(command))


def test_a_command_that_does_not_end_is_ended(document: str) -> None:
    lines = ["import time", "print(open('keys.json').read(), flush=True)", "time.sleep(600)"]
    assert "did not end within 0.5 s" in refusal(CommandKeys(python(*lines), seconds=0.5))


def test_a_command_cannot_wait_for_an_answer(document: str) -> None:
    assert same(CommandKeys(python("import sys", "sys.stdin.read()", "print(open('keys.json').read())")).load(), ring(1))
