"""Keys: where they come from and what is derived from them."""

from __future__ import annotations

from cdc_masker.keys.keyring import FileKeys, Keyring, new_keyring, write

__all__ = ["FileKeys", "Keyring", "new_keyring", "write"]
