"""What the doctor finds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Finding", "Severity"]


class Severity(StrEnum):
    """An error lets raw values out, or records get lost; a warning may, depending on who can reach what."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong where, and what to do about it."""

    severity: Severity
    place: str
    problem: str
    remedy: str
