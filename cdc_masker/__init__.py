"""Masks personal data in Debezium change streams.

What a program needs that embeds the masker: make a `Masker` of a `Policy` and keys (`cdc_masker.keys` reads key files), give it
`Record`s, get an `Outcome` for each. All of it is pure.
"""

from cdc_masker.errors import CdcMaskerError, InputError, KeyringError, PolicyError, Reason, SetupError, TransientError
from cdc_masker.events import Fate, Outcome, Record
from cdc_masker.pipeline import Masker
from cdc_masker.policies import Policy, Rule
from cdc_masker.version import __version__

__all__ = [
    "CdcMaskerError",
    "Fate",
    "InputError",
    "KeyringError",
    "Masker",
    "Outcome",
    "Policy",
    "PolicyError",
    "Reason",
    "Record",
    "Rule",
    "SetupError",
    "TransientError",
    "__version__",
]
