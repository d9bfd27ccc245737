"""docs/types.md says what the code does."""

from __future__ import annotations

from tests.zoo.page import PAGE, text


def test_the_page_of_types_is_current() -> None:
    assert PAGE.read_text() == text(), "run `python -m tests.zoo.page`"
