"""Every error the project raises on purpose, by who must act.

    CdcMaskerError
    ├── InputError       the record is at fault: it becomes an outcome, the next record goes on
    ├── PolicyError      whoever writes policies must act: nothing is masked under this policy
    │   └── UnverifiedError   the catalog is not what was released: nothing is masked until it is again
    ├── KeyringError     whoever keeps the keys must act
    ├── SetupError       whoever runs the program must act: the environment is not as it has to be
    └── TransientError   nobody has to act yet: the same call may succeed later

What always holds: an error names a place (a topic, a column, a file, a setting) and a remedy, and never a value that came
out of a record or a key. So each of them may be logged and printed as it is.
"""

from __future__ import annotations

import traceback
from enum import StrEnum

__all__ = [
    "CdcMaskerError",
    "InputError",
    "KeyringError",
    "PolicyError",
    "Reason",
    "SetupError",
    "TransientError",
    "UnverifiedError",
    "located",
]


class Reason(StrEnum):
    """Why a record was not published: the only thing about its content that is ever told.

    It was quarantined, but for the last two: what they name is never published, and is dropped.
    """

    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    AMBIGUOUS_JSON = "ambiguous_json"
    UNKNOWN_SHAPE = "unknown_shape"
    BAD_ENVELOPE = "bad_envelope"
    BAD_KEY = "bad_key"
    SCHEMA_MISMATCH = "schema_mismatch"
    AMBIGUOUS_TABLE = "ambiguous_table"
    TOO_LARGE = "too_large"
    EGRESS_GUARD = "egress_guard"
    UNMASKABLE = "unmaskable"
    UNFIT_KEY_RULE = "unfit_key_rule"
    UNDECIDED = "undecided"
    SIGNAL = "signal"
    NOTIFICATION = "notification"


class CdcMaskerError(Exception):
    """Base of all errors here. `str()` of it is one sentence without any value of a record."""


class InputError(CdcMaskerError):
    """A record that can't be masked. It is an outcome, not a failure of the program."""

    def __init__(self, reason: Reason, place: str) -> None:
        super().__init__(f"{reason} at {place}")
        self.reason = reason
        self.place = place


class PolicyError(CdcMaskerError):
    """A policy that can't be used. `place` names the rule or member, as in `rules[3].params`."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"policy: {place}: {problem}")
        self.place = place
        self.problem = problem


class UnverifiedError(PolicyError):
    """Policies, or signatures of them, that are not as they were released. `place` names the version."""


class KeyringError(CdcMaskerError):
    """A key that is missing or a key file that can't be used."""


class SetupError(CdcMaskerError):
    """The surroundings are not as they must be; the message ends with the remedy."""


class TransientError(CdcMaskerError):
    """A server did not answer as it should; nothing was published, nothing is lost."""


def located(error: BaseException) -> str:
    """One of ours as it is; of any other its class and the place in the code: its text may quote a record."""
    if isinstance(error, CdcMaskerError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno} in {frames[-1].name}" if frames else ""
    return type(error).__name__ + place
