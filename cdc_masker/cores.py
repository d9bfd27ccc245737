"""Which core masks: Python's, which is always there, or the compiled one (`cdc_masker.native`), where it is installed."""

from __future__ import annotations

from importlib.util import find_spec

from cdc_masker.errors import SetupError

__all__ = ["is_compiled"]


def is_compiled(core: str) -> bool:
    """Whether it is the compiled one, for `auto`, `native` or `python`. Raises `SetupError` where `native` is not there."""
    there = find_spec("cdc_masker_native") is not None
    if core == "native" and not there:
        raise SetupError("the compiled core is not installed; install cdc-masker-native, or set CDC_MASKER_CORE=python")
    return core != "python" and there
