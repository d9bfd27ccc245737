"""How the JVM programs of the stack are started: small, quick to start, logging to standard error."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from cdc_masker.stack import programs
from cdc_masker.stack.jars import Jars
from cdc_masker.stack.processes import Command

__all__ = ["command", "write_properties"]

_FLAGS = (
    "-Xmx512m",
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-Xshare:auto",
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=info",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSS",
)


def command(jars: Jars, main: str, *arguments: str | Path, environment: Mapping[str, str] | None = None) -> Command:
    """The command that runs class `main` with the servers' jars, `environment` added to ours."""
    argv = (str(programs.java()), *_FLAGS, "-cp", jars.class_path, main, *map(str, arguments))
    return Command(argv=argv, environment={**os.environ, **(environment or {})})


def write_properties(path: Path, properties: Mapping[str, object]) -> None:
    """Writes a properties file; values are put in as they are, so none may hold a backslash or a line end."""
    path.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
