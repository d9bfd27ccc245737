"""What the unit tests mask, the compiled core masks as well: it must come out the same."""

from __future__ import annotations

import pytest

from cdc_masker.batches import gathered
from cdc_masker.events import Outcome, Record
from cdc_masker.methods import NO_SUBJECTS, Subjects
from cdc_masker.pipeline import Masker
from tests.property.cores import assert_same

_OF_PYTHON = {
    "test_a_number_that_a_permutation_maps_to_itself_is_no_finding",  # replaces the permutation
    "test_nothing_is_forgotten_when_a_masker_forgets_its_plans",  # counts who asks for plans
}


@pytest.fixture(autouse=True)
def _both_cores(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    by_python = Masker.mask

    def by_both(self: Masker, record: Record, subjects: Subjects = NO_SUBJECTS) -> Outcome:
        outcome = by_python(self, record, subjects)
        masking = self._compiled().begin([record], lambda *_: [outcome])
        masking.ahead()
        masking.go_on(masking.left, subjects)
        found, expected = masking.batch(), gathered([outcome])
        assert_same(found, expected)
        assert found.treatments == expected.treatments
        return outcome

    if request.node.name not in _OF_PYTHON:
        monkeypatch.setattr(Masker, "mask", by_both)
