"""The capture, taken once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cdc_masker.stack import Database, Stack
from tests.zoo.capture import Capture, take


@pytest.fixture(scope="session")
def zoo(stack: Stack, fresh_database: Callable[[str], Database]) -> dict[str, Capture]:
    """What a connector in each mode wrote, by mode."""
    database = fresh_database("zoo")
    return take(stack, database, database.name)
