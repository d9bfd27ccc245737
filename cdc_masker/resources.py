"""Finds the files that belong to the program but are not code: migrations and connector configurations."""

from __future__ import annotations

from pathlib import Path

__all__ = ["path"]

_PACKAGE = Path(__file__).resolve().parent


def path(name: str) -> Path:
    """The directory `name` (`migrations`, `connectors`), in an installed wheel or in a checkout."""
    installed = _PACKAGE / "_resources" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name
