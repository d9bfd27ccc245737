"""Tests of policies, which their writers write: given a row of a table, what is expected of each column once it is masked.

values          JSON values, and parts of them      expectations    what can be expected, and whether it holds
documents       YAML → cases, strictly              running         cases under a policy

Nothing here reads a file: who calls has the text. What a failure tells of a value is what became of it, never the value.
"""

from __future__ import annotations

from cdc_masker.cases.documents import read_cases
from cdc_masker.cases.expectations import Case
from cdc_masker.cases.running import Result, run

__all__ = ["Case", "Result", "read_cases", "run"]
