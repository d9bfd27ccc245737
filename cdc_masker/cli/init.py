"""`cdc-masker init`: a repository for somebody's own policies. Its files are those in `repository`, beside this module."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cdc_masker.errors import SetupError
from cdc_masker.version import __version__

__all__ = ["init"]

_TEMPLATES = Path(__file__).parent / "repository"


def init(directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where to; it is made if it isn't there.")]) -> None:
    """Make a repository of policies: Alembic's configuration, a first empty revision, a test, an example for CI.

    No file is ever overwritten.
    """
    templates = sorted(path for path in _TEMPLATES.rglob("*") if path.is_file() and path.suffix != ".pyc")
    files = {directory / path.relative_to(_TEMPLATES): path for path in templates}
    if there := [file for file in files if file.exists()]:
        raise SetupError(f"{there[0]} is there already; name another directory")
    try:
        for file, template in files.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("x") as output:
                output.write(template.read_text().replace("@VERSION@", __version__))
            print(file)
    except OSError as error:
        raise SetupError(f"{directory} can't be written ({error.strerror})") from None
