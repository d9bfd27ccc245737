"""`cdc-masker init` as a new user meets it: from the wheel, by the commands of the README that it writes, to a masked event."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
import yaml

from cdc_masker.settings import PREFIX
from cdc_masker.stack import Database, Stack
from cdc_masker.version import __version__
from tests.unit.building import change, compact

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = ROOT / "cdc_masker" / "cli" / "repository"
CANARY = "canary-8c1f2e@example.com"
ADDRESS = "postgresql://me:password@db.example:5432/catalog"

EXPECTED = """\
- case: somebody
  table: public.people
  row: {id: 7, name: Ann Example, email: ann@example.com, created_at: 2020-02-29T12:00:00Z}
  key: [id]
  expect:
    id: kept
    name: redacted
    email: {is: token, matches: "[0-9a-f]{32}"}
    created_at: kept
"""


class Home:
    """A directory of somebody with a virtual environment, in which the wheel and what it depends on are installed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._environment = {name: text for name, text in os.environ.items() if not name.startswith((PREFIX, "PYTHON"))} | {
            "PATH": f"{directory / 'venv' / 'bin'}:{os.environ['PATH']}",
            "PIP_NO_INDEX": "1",
            "PIP_NO_DEPS": "1",
            "PIP_FIND_LINKS": str(directory / "wheel"),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }

    def shell(self, script: str, *, where: str = "policy", code: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
        """Runs a script as GitHub and `sh` do, which end with the first command that fails."""
        done = subprocess.run(
            ["bash", "-e", "-c", script],
            cwd=self.directory / where,
            env=self._environment | variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert CANARY not in done.stdout + done.stderr
        return done


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    directory = tmp_path_factory.mktemp("home")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(directory / "wheel")]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    venv.create(directory / "venv", with_pip=True, symlinks=True)
    home = Home(directory)
    home.shell("pip install cdc-masker", where=".")
    # In place of a download: the dependencies as the lock file has them. The installed package goes before the checkout.
    (site,) = (directory / "venv" / "lib").glob("python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    alembic = directory / "venv" / "bin" / "alembic"
    alembic.write_text(f"#!{directory}/venv/bin/python\nfrom alembic.config import main\nmain()\n")
    alembic.chmod(0o755)
    where = home.shell("python -c 'import cdc_masker; print(cdc_masker.__file__)'", where=".").stdout
    assert Path(where.strip()).is_relative_to(directory)
    return home


@pytest.fixture(scope="module")
def repository(home: Home) -> Path:
    told = home.shell("cdc-masker init policy", where=".").stdout
    policy = home.directory / "policy"
    assert sorted(told.split()) == sorted(f"policy/{name}" for name in files(policy))
    return policy


def files(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file() and path.suffix != ".pyc"}


def blocks(readme: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", readme.read_text(), re.MULTILINE | re.DOTALL)


def say(revision: Path, operations: str) -> None:
    """Writes operations into the `upgrade()` of a revision."""
    indented = "".join(f"    {line}\n" for line in operations.splitlines())
    revision.write_text(revision.read_text().replace("    pass\n", indented, 1))


def test_the_wheel_carries_every_file(repository: Path) -> None:
    assert files(repository) == files(TEMPLATES)
    assert {".gitignore", ".github/workflows/policy.yml", "alembic.ini"} <= files(repository)
    assert f"cdc-masker=={__version__}\n" in (repository / "requirements.txt").read_text()
    assert not any("@" in (repository / name).read_text() for name in ("alembic.ini", "requirements.txt"))


@pytest.mark.stack
def test_from_the_readme_to_a_masked_event(home: Home, repository: Path, fresh_database: Callable[[str], Database]) -> None:
    begin, change_it, look, apply_it, in_ci = blocks(repository / "README.md", "sh")
    first, second = blocks(repository / "README.md", "python")
    home.shell(begin)
    home.shell(in_ci)

    say(repository / "versions" / "policy_0001_nothing_is_decided.py", first)
    told = home.shell("cdc-masker policy test", code=1).stdout
    assert "policy_tests/undecided.yaml:11:9: what nobody decided on is redacted: id: expected token" in told
    (repository / "policy_tests" / "undecided.yaml").unlink()
    (repository / "policy_tests" / "people.yaml").write_text(EXPECTED)
    home.shell(change_it)
    (revision,) = (repository / "versions").glob("*_keep_when_people_came.py")
    assert "down_revision = 'policy_0001'" in revision.read_text()
    say(revision, second)

    test, diff = look.splitlines()
    assert ": 4 as expected, 0 not" in home.shell(test).stdout
    told = home.shell(diff, code=1).stdout  # of columns that are kept, where all was redacted
    assert "public.people.email" in told
    home.shell(in_ci)

    database = fresh_database("init")
    assert ADDRESS in apply_it
    home.shell(apply_it.replace(ADDRESS, database.dsn))
    assert json.loads((repository / "policy.json").read_text())["version"] == 2

    event = change(after={"id": 7, "name": CANARY, "email": CANARY})
    event["source"] |= {"schema": "public", "table": "people"}
    line = {"topic": "shop.public.people", "partition": 0, "offset": 0, "timestamp": 0, "key": '{"id":7}'}
    (repository / "capture.jsonl").write_text(json.dumps(line | {"value": compact(event)}) + "\n")
    home.shell("cdc-masker keys new policy.keys.json")
    masked = home.shell("cdc-masker mask --policy policy.json --keys policy.keys.json capture.jsonl").stdout
    row = json.loads(json.loads(masked)["value"])["after"]
    assert (row["id"], row["name"]) == (7, None)
    assert re.fullmatch("[0-9a-f]{32}", row["email"])

    told = home.shell("cdc-masker policy preview 0 versions --raw capture.jsonl").stdout
    assert "(kept)" in told
    home.shell("git init -q && git check-ignore policy.keys.json capture.jsonl .env")

    downgrade = f"export CDC_MASKER_DATABASE_URL={database.dsn}\nalembic upgrade heads\nalembic downgrade policy@-1"
    home.shell(downgrade)
    exported = json.loads(home.shell("cdc-masker policy export", CDC_MASKER_DATABASE_URL=database.dsn).stdout)
    assert (exported["version"], [rule["column"] for rule in exported["rules"]]) == (3, ["email", "id"])


@pytest.mark.stack
def test_the_example_for_ci_runs(home: Home, postgres: Stack, fresh_database: Callable[[str], Database]) -> None:
    home.shell("cdc-masker init ci", where=".")
    home.shell("git init -q && git add . && git -c user.name=me -c user.email=me commit -q -m first", where="ci")
    home.shell("git update-ref refs/remotes/origin/main HEAD", where="ci")
    workflow = yaml.safe_load((home.directory / "ci" / ".github" / "workflows" / "policy.yml").read_text())
    (job,) = workflow["jobs"].values()
    assert list(job["env"]) == ["CDC_MASKER_DATABASE_URL"]
    variables = {
        "CDC_MASKER_DATABASE_URL": fresh_database("ci").dsn,
        "RUNNER_TEMP": str(home.directory),
        "GITHUB_BASE_REF": "main",
        "GITHUB_STEP_SUMMARY": str(home.directory / "summary"),
    }
    revision = home.directory / "ci" / "versions" / "policy_0001_nothing_is_decided.py"
    say(revision, "op.keep_column('public.people', 'id', reason='ours')")
    steps = [step["run"] for step in job["steps"] if "run" in step]
    assert len(steps) == 5
    for step in steps:
        code = 1 if step == "cdc-masker policy test" else 0  # the key is kept now, which the first test doesn't expect
        home.shell(step, where="ci", code=code, **variables)
    assert "public.people.id" in (home.directory / "summary").read_text()

    (check,) = (step for step in steps if "policy check" in step)
    source = fresh_database("source")
    statements = "create table people (id int, name text); create publication cdc_masker for table people"
    postgres.sql(statements, database=source.name)
    told = home.shell(check, where="ci", code=1, **variables, CDC_MASKER_SOURCE_URL=source.dsn).stdout
    assert "UNDECIDED public.people.name" in told
    assert "UNDECIDED public.people.id" not in told


def test_the_example_for_ci_is_a_workflow() -> None:
    package = importlib.metadata.distribution("check-jsonschema")
    vendored = package.locate_file("check_jsonschema/builtin_schemas/vendor/github-workflows.json")
    workflow = yaml.safe_load((TEMPLATES / ".github" / "workflows" / "policy.yml").read_text())
    workflow["on"] = workflow.pop(True)  # which YAML 1.1 makes of `on`
    validator = jsonschema.Draft7Validator(json.loads(Path(str(vendored)).read_text()))
    assert [error.message for error in validator.iter_errors(workflow)] == []
    assert list(validator.iter_errors(workflow | {"job": {}})), "the schema refuses nothing"


@pytest.mark.parametrize("name", sorted(files(TEMPLATES)))
def test_nothing_is_overwritten_and_then_nothing_is_written(home: Home, tmp_path: Path, name: str) -> None:
    there = tmp_path / name
    there.parent.mkdir(parents=True, exist_ok=True)
    there.write_text("mine")
    done = home.shell(f"cdc-masker init {tmp_path}", where=".", code=2)
    assert f"{name} is there already" in done.stderr
    assert files(tmp_path) == {name}
    assert there.read_text() == "mine"


def test_a_directory_with_other_files_is_taken(home: Home, tmp_path: Path) -> None:
    (tmp_path / "LICENSE").write_text("mine")
    home.shell("cdc-masker init .", where=str(tmp_path))
    assert files(tmp_path) == files(TEMPLATES) | {"LICENSE"}


def test_where_nothing_can_be_written_it_says_so(home: Home, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    done = home.shell(f"cdc-masker init {tmp_path}/file", where=".", code=2)
    assert "can't be written" in done.stderr
