"""Which core masks: Python's, which is always there, or the compiled one (`cdc_masker.native`), where it is installed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from cdc_masker.errors import SetupError
from cdc_masker.version import __version__

__all__ = ["is_compiled"]


def is_compiled(core: str) -> bool:
    """Whether it is the compiled one, for `auto`, `native` or `python`.

    Raises `SetupError` where `native` is not there, and where what is there is of another version, which might mask otherwise.
    """
    if core == "python":
        return False
    try:
        found = version("cdc-masker-native")
    except PackageNotFoundError:
        if core == "auto":
            return False
        raise SetupError(f"the compiled core is not installed; {_REMEDY}") from None
    if found != __version__:
        raise SetupError(f"the compiled core is of version {found}, and cdc-masker of {__version__}; {_REMEDY}")
    return True


_REMEDY = f"install cdc-masker-native {__version__}, or set CDC_MASKER_CORE=python"
