"""The package itself is what an embedding program imports, and its documentation's example runs."""

from __future__ import annotations

import re
from pathlib import Path

import cdc_masker

ARCHITECTURE = Path(__file__).resolve().parents[2] / "docs" / "architecture.md"


def test_each_name_that_it_offers_is_there() -> None:
    assert [name for name in cdc_masker.__all__ if not hasattr(cdc_masker, name)] == []


def test_the_example_of_the_documentation_runs() -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```$", ARCHITECTURE.read_text(), re.MULTILINE | re.DOTALL)
    exec(compile(example, str(ARCHITECTURE), "exec"), {})
