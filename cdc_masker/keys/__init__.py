"""Keys: where they come from, what is derived from them, and what a policy needs of them.

keyring     keys that nothing shows     documents   as JSON, and in files
providers   file, setting, command      bundles     the derived keys that a policy needs, without a root
"""

from __future__ import annotations

from cdc_masker.keys.bundles import bundle, needed
from cdc_masker.keys.documents import change, write
from cdc_masker.keys.keyring import Keyring, RootKey, new_keyring, new_root
from cdc_masker.keys.providers import CommandKeys, EnvironmentKeys, FileKeys, source

__all__ = [
    "CommandKeys",
    "EnvironmentKeys",
    "FileKeys",
    "Keyring",
    "RootKey",
    "bundle",
    "change",
    "needed",
    "new_keyring",
    "new_root",
    "source",
    "write",
]
