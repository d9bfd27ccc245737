"""An installed wheel carries the migrations."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The content of a freshly built wheel."""
    home = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(home)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = home.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(home / "site")
    return home / "site"


def test_it_holds_what_the_repository_holds(installed: Path) -> None:
    def files(home: Path) -> set[str]:
        return {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file() and path.suffix != ".pyc"}

    carried = files(installed / "cdc_masker" / "_resources" / "migrations")
    assert carried == files(ROOT / "migrations")
    assert "versions/0001_catalog.py" in carried


def test_it_migrates_away_from_the_repository(installed: Path, tmp_path: Path) -> None:
    code = "import cdc_masker.cli; print(cdc_masker.cli.__file__); cdc_masker.cli.main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "db", "upgrade", "--sql"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        check=True,
        capture_output=True,
        text=True,
    )
    where, script = done.stdout.split("\n", 1)
    assert Path(where).is_relative_to(installed)
    assert "CREATE TABLE cdc_masker.policy_version" in script


def test_a_repository_of_policies_finds_it(installed: Path, tmp_path: Path) -> None:
    """With the revision of docs/policies.md, as it stands there."""
    page = (ROOT / "docs" / "policies.md").read_text()
    shutil.copy(installed / "cdc_masker" / "cli" / "repository" / "alembic.ini", tmp_path)
    (tmp_path / "versions").mkdir()
    page_revision = page.split("```python\n")[1].split("```")[0]
    (tmp_path / "versions" / "0001_shop.py").write_text(page_revision)
    done = subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "heads", "--sql"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert "CREATE TABLE cdc_masker.policy_version" in done.stdout
    assert "release_policy(" in done.stdout
