"""What becomes of a keyring: its first key, the next epoch's, and the end of an epoch.

A root is never replaced: another root is another epoch.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from cdc_masker.errors import KeyringError
from cdc_masker.keys.bundles import Purpose, bundle
from cdc_masker.keys.keyring import KEY_BYTES, Keyring, RootKey

__all__ = ["destroyed", "new_keyring", "rotated"]


def new_keyring(epoch: int = 1) -> Keyring:
    """A keyring with one new random root, of that epoch."""
    return Keyring.of([_new_root(epoch)])


def rotated(ring: Keyring) -> Keyring:
    """The keyring with one more random root, of the next epoch. Raises `KeyringError` for a bundle, which takes no root."""
    newest = ring.keys[-1]
    if not isinstance(newest, RootKey):
        raise KeyringError(
            "this is a bundle of derived keys; rotate the key file that holds the root, then derive a new bundle"
        )
    return Keyring.of([*ring.keys, _new_root(newest.epoch + 1)])


def destroyed(ring: Keyring, epoch: int, still_needed: Iterable[Purpose] = ()) -> Keyring:
    """The keyring without the key of that epoch, of which those derived keys stay that are still needed.

    Raises `KeyringError` for an epoch that is not there, and for the newest: without it nothing can be masked.
    """
    if epoch not in ring.ids():
        raise KeyringError(f"there is no key of epoch {epoch}; `cdc-masker keys list` tells which there are")
    if epoch == ring.keys[-1].epoch:
        raise KeyringError(
            f"epoch {epoch} is the newest; run `cdc-masker keys rotate` and mask under the next one first. To end everything, "
            "delete the key file and its copies"
        )
    others = [key for key in ring.keys if key.epoch != epoch]
    return Keyring.of([*others, *bundle(ring, [purpose for purpose in still_needed if purpose.epoch == epoch]).keys])


def _new_root(epoch: int) -> RootKey:
    return RootKey(id=f"k-{secrets.token_hex(4)}", epoch=epoch, root=secrets.token_bytes(KEY_BYTES))
