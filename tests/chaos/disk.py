"""A small disk for the audit's database, which can be filled: a tmpfs with a tablespace on it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cdc_masker.stack import Stack

__all__ = ["Disk"]


_FULL = (b"No space left on device", b"could not write init file")
"""What PostgreSQL says when a table does not get larger, and when a connection can't be made."""


_BLOCKS = (1 << 20, 1 << 12)  # bytes that are written at once: first fast, then to the last page


class Disk:
    """Where it is."""

    def __init__(self, home: Path, stack: Stack) -> None:
        self._home = home
        self._stack = stack

    @classmethod
    @contextmanager
    def mounted(cls, stack: Stack, megabytes: int) -> Iterator[Disk | None]:
        """None where mounting is not allowed. Enter it before the stack: PostgreSQL must be gone when it is unmounted."""
        home = Path(tempfile.mkdtemp(prefix="cdc-masker-chaos-", dir="/var/tmp"))
        options = ["-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "tmpfs"]
        try:
            if os.geteuid() or subprocess.run(["mount", *options, home], capture_output=True).returncode:
                yield None
                return
            try:
                yield cls(home, stack)
            finally:
                subprocess.run(["umount", home], check=True)
        finally:
            shutil.rmtree(home)

    def take(self, database: str) -> None:
        """Moves a database here; nobody may be connected to it."""
        (postgres,) = (part.pid for part in self._stack.status() if part.name == "postgres")
        owner = Path(f"/proc/{postgres}").stat()
        data = self._home / "data"
        data.mkdir(mode=0o700)
        os.chown(data, owner.st_uid, owner.st_gid)
        self._stack.sql(f"create tablespace small location '{data}'")
        self._stack.sql(f'alter database "{database}" set tablespace small')

    @contextmanager
    def full(self) -> Iterator[None]:
        """Meanwhile nothing more fits."""
        ballast = self._home / "ballast"
        try:
            with ballast.open("wb", buffering=0) as file:
                for size in _BLOCKS:
                    with suppress(OSError):
                        while file.write(bytes(size)) == size:
                            pass
            yield
        finally:
            ballast.unlink()

    def complaints(self) -> int:
        """How often PostgreSQL found it full."""
        log = self._stack.log("postgres").read_bytes()
        return sum(log.count(told) for told in _FULL)
