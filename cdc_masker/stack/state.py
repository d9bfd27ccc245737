"""What a stack remembers between programs, in `stack.json` (mode 0600: it holds the password of PostgreSQL).

Written through a rename, so that a reader finds the state before or after a change, never half of one.
"""

from __future__ import annotations

import secrets
from pathlib import Path

import msgspec

from cdc_masker.errors import SetupError
from cdc_masker.stack.processes import Process

__all__ = ["State"]


class State(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`ports` by their names, `processes` by parts; a part that was stopped keeps its ports.

    `made_directory` tells whether the stack's directory was made for it, so that it may be deleted whole.
    """

    format: int = 1
    password: str
    made_directory: bool = False
    postgres_home: str | None = None
    ports: dict[str, int] = msgspec.field(default_factory=dict)
    processes: dict[str, Process] = msgspec.field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> State:
        """The state in that file, a new one when there is none. Raises `SetupError` for another program's file."""
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except FileNotFoundError:
            return cls(password=secrets.token_hex(16))
        except (OSError, msgspec.DecodeError):
            raise SetupError(
                f"{path} is not the state of a stack that this version can use; choose another directory"
            ) from None

    def write(self, path: Path) -> None:
        beside = path.with_suffix(".new")
        beside.touch(mode=0o600)
        beside.write_bytes(msgspec.json.format(msgspec.json.encode(self)) + b"\n")
        beside.replace(path)
