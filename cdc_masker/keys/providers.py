"""Where keys come from: a file, a setting, or what a command prints. Each is a `KeySource` of `cdc_masker.ports`.

A provider pickles without a key: it reads anew wherever it gets to, so the keyring that it gave finds its keys there.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from cdc_masker.errors import KeyringError, SetupError
from cdc_masker.keys import documents
from cdc_masker.keys.keyring import DerivedKeys, Keyring, RootKey
from cdc_masker.settings import PREFIX, Settings, load

__all__ = ["CommandKeys", "EnvironmentKeys", "FileKeys", "source"]

_Keys = tuple[RootKey | DerivedKeys, ...]


@dataclass(frozen=True, slots=True)
class FileKeys:
    """Keys from a key file that only its owner can read."""

    path: Path

    def load(self) -> Keyring:
        """Raises `KeyringError` when the file is missing, open to others, or not a key file."""
        return _ring(documents.read(self.path), f"{self.path} is not a key file", self)


class EnvironmentKeys:
    """Keys from a key document that stands in the setting `keys`. It pickles as that setting's name."""

    __slots__ = ("_document",)

    def __init__(self, document: SecretStr) -> None:
        self._document = document

    def __repr__(self) -> str:
        return f"{PREFIX}KEYS"

    def __reduce__(self) -> tuple[Callable[[], EnvironmentKeys], tuple[()]]:
        return _of_this_environment, ()

    def load(self) -> Keyring:
        """Raises `KeyringError` when it is no key document."""
        return _ring(documents.decode(self._document.get_secret_value().encode()), f"{self} holds no key document", self)


def _of_this_environment() -> EnvironmentKeys:
    document = load().keys
    if document is None:
        raise KeyringError(f"{PREFIX}KEYS is not set here; a keyring that was loaded from it can be used only where it is")
    return EnvironmentKeys(document)


@dataclass(frozen=True, slots=True)
class CommandKeys:
    """Keys from a key document that a command prints, run without a shell: the way to any vault or key service.

    The command is no secret: it shows in lists of processes.
    """

    command: str
    seconds: float = 30.0

    def __repr__(self) -> str:
        return f"{PREFIX}KEY_COMMAND"

    def load(self) -> Keyring:
        """Raises `KeyringError` when it fails, takes longer than `seconds`, or prints no key document."""
        return _ring(self._printed(), f"what {self} printed is no key document", self)

    def _printed(self) -> _Keys | None:
        try:
            done = subprocess.run(
                shlex.split(self.command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # nobody knows what a vault's client says there
                timeout=self.seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            problem = f"did not end within {self.seconds:g} s"
        except (ValueError, IndexError):  # a quote is open, a null byte is in it, or there is no word at all
            problem = "is not a command line"
        except OSError as error:
            problem = f"can't be run ({error.strerror})"
        else:
            if done.returncode == 0:
                return documents.decode(done.stdout)
            problem = f"failed with exit code {done.returncode}"
            del done  # an error that is shown with its frames would show what it printed
        raise KeyringError(f"{self} {problem}; run it by hand to see what it says")


def source(settings: Settings) -> FileKeys | EnvironmentKeys | CommandKeys:
    """The one provider that is set. Raises `SetupError` when there is none or more than one."""
    match (settings.keys_file, settings.keys, settings.key_command):
        case Path() as path, None, None:
            return FileKeys(path)
        case None, SecretStr() as document, None:
            return EnvironmentKeys(document)
        case None, None, str() as command:
            return CommandKeys(command)
        case None, None, None:
            raise SetupError(f"{PREFIX}KEYS_FILE is not set; set it to the key file that `cdc-masker keys new` wrote")
    raise SetupError(f"more than one of {PREFIX}KEYS_FILE, {PREFIX}KEYS and {PREFIX}KEY_COMMAND is set; keep one")


def _ring(keys: _Keys | None, problem: str, provider: FileKeys | EnvironmentKeys | CommandKeys) -> Keyring:
    if keys is None:
        raise KeyringError(f"{problem}; make one with `cdc-masker keys new`")
    return Keyring.of(keys, provider)
