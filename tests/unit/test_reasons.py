"""Each reason has a meaning, in commands and in the docs."""

from __future__ import annotations

from cdc_masker.errors import Reason
from cdc_masker.reasons import MEANINGS, meaning
from tests.unit.reasons_table import PAGE, text


def test_every_reason_has_a_meaning_and_a_remedy() -> None:
    assert list(MEANINGS) == list(Reason)
    for reason in Reason:
        assert meaning(reason.value) == MEANINGS[reason]
        assert all(sentence.endswith(".") for sentence in meaning(reason.value))
    assert meaning("one_of_a_later_version").means == "A later version of cdc-masker wrote it."


def test_the_table_in_the_docs_is_current() -> None:
    assert PAGE.read_text() == text(), "run `python -m tests.unit.reasons_table`"
