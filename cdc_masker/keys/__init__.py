"""Keys: where they come from, what is derived from them, and what a policy needs of them.

keyring     keys that nothing shows     documents   as JSON, and in files
providers   file, setting, command      bundles     the derived keys that a policy needs, without a root
lifecycle   from the first key to the end of an epoch
"""

from __future__ import annotations

from cdc_masker.keys.bundles import Purpose, bundle, needed
from cdc_masker.keys.documents import change, write
from cdc_masker.keys.keyring import Keyring, RootKey
from cdc_masker.keys.lifecycle import destroyed, new_keyring, rotated
from cdc_masker.keys.providers import CommandKeys, EnvironmentKeys, FileKeys, source

__all__ = [
    "CommandKeys",
    "EnvironmentKeys",
    "FileKeys",
    "Keyring",
    "Purpose",
    "RootKey",
    "bundle",
    "change",
    "destroyed",
    "needed",
    "new_keyring",
    "rotated",
    "source",
    "write",
]
