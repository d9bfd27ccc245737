"""Finds the programs that the stack runs, and says how to get the one that is missing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cdc_masker.errors import SetupError

__all__ = ["PostgresPrograms", "cache_directory", "java", "maven", "postgres_programs"]

_DEBIAN_POSTGRES = Path("/usr/lib/postgresql")
_OLDEST_POSTGRES = 13
_OLDEST_JAVA = 17


@dataclass(frozen=True, slots=True)
class PostgresPrograms:
    """The programs of one PostgreSQL installation."""

    initdb: Path
    postgres: Path
    psql: Path

    @classmethod
    def of(cls, directory: Path) -> PostgresPrograms:
        return cls(directory / "initdb", directory / "postgres", directory / "psql")

    @property
    def complete(self) -> bool:
        return all(os.access(program, os.X_OK) for program in (self.initdb, self.postgres, self.psql))


def cache_directory() -> Path:
    """Where downloads and the default stack live: `$XDG_CACHE_HOME/cdc-masker`, else `~/.cache/cdc-masker`."""
    configured = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # The XDG specification has relative paths ignored.
    return (configured if configured.is_absolute() else Path.home() / ".cache") / "cdc-masker"


def postgres_programs() -> PostgresPrograms:
    """The newest PostgreSQL in Debian's place, else the one on PATH. Raises `SetupError` when there is none from 13 on.

    Debian's place comes first: it has all programs of one version together, which PATH need not.
    """
    debian = {int(home.name): home / "bin" for home in _DEBIAN_POSTGRES.glob("*") if home.name.isdigit()}
    directories = [debian[version] for version in sorted(debian, reverse=True) if version >= _OLDEST_POSTGRES]
    on_path = shutil.which("postgres")
    if on_path and _version([on_path, "--version"], r"(\d+)") >= _OLDEST_POSTGRES:
        directories.append(Path(on_path).resolve().parent)
    for directory in directories:
        programs = PostgresPrograms.of(directory)
        if programs.complete:
            return programs
    raise SetupError(
        f"no PostgreSQL from {_OLDEST_POSTGRES} on with initdb, postgres and psql; "
        "install one (Debian: apt-get install postgresql)"
    )


def java() -> Path:
    """The `java` of JAVA_HOME, else of PATH. Raises `SetupError` when there is none from 17 on."""
    home = os.environ.get("JAVA_HOME")
    program = str(Path(home, "bin", "java")) if home else shutil.which("java")
    if program is None or _version([program, "-version"], r'version "(\d+)') < _OLDEST_JAVA:
        raise SetupError(
            f"no Java from {_OLDEST_JAVA} on in JAVA_HOME or on PATH; "
            "install one (Debian: apt-get install openjdk-17-jre-headless)"
        )
    return Path(program)


def maven() -> Path:
    """`mvn` from PATH. Raises `SetupError` when it isn't there."""
    program = shutil.which("mvn")
    if program is None:
        raise SetupError("no mvn on PATH to fetch Kafka and Debezium with; install Maven (Debian: apt-get install maven)")
    return Path(program)


def _version(command: list[str], pattern: str) -> int:
    """The major version that a program tells about itself, 0 when it can't be run or tells none."""
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return 0
    found = re.search(pattern, told.stdout + told.stderr)  # java tells it on stderr
    return int(found.group(1)) if found else 0
