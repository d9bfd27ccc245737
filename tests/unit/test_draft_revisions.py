"""Drafts as Alembic revisions: they say exactly what was drafted, whatever names the source has, as formatters like it."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from types import ModuleType

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from hypothesis import given
from hypothesis import strategies as st

from cdc_masker.catalog.changes import Change, Decide, Declare
from cdc_masker.catalog.operations import SAID
from cdc_masker.drafting import revision
from cdc_masker.drafting.proposals import Draft, Proposal, draft
from cdc_masker.drafting.tables import Source
from cdc_masker.policies import EMPTY, Domain, Rule
from tests.unit.sources import column, source, sources, table

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)


def said(text: str) -> tuple[ModuleType, list[Change]]:
    """The module of a revision, and what its `upgrade()` says."""
    module, changes = ModuleType("revision"), list[Change]()
    exec(compile(text, "revision.py", "exec"), module.__dict__)
    context = MigrationContext.configure(
        url="postgresql+asyncpg://", opts={"as_sql": True, "output_buffer": io.StringIO(), SAID: changes}
    )
    with Operations.context(context):
        module.upgrade()
    return module, changes


@given(sources(), TEXTS)
def test_a_revision_says_exactly_what_was_drafted(given_: Source, message: str) -> None:
    made = draft(EMPTY, given_)
    module, changes = said(revision.render(made, after=None, said=f"m {message}"))
    assert changes == [*map(Declare, made.domains), *(Decide(each.rule) for each in made.proposals)]
    assert (module.__doc__ or "").split("\n\n")[0] == " ".join(f"m {message}".split())
    assert (module.revision, module.down_revision) == (revision.identifier(made, None), None)
    assert (module.branch_labels, module.depends_on) == ("policy", "catalog")


@given(TEXTS, TEXTS)
def test_what_a_source_says_ends_no_comment_and_no_text(name: str, reason: str) -> None:
    params, column = {"domain": reason}, name or "c"
    rule = Rule(schema=f"s{name}", table=f"t{name}", column=column, method="tokenize", params=params, reason=reason or None)
    made = Draft((Proposal(rule, (f"computed from {name!a}",), (f"{reason!a}",)),), (Domain(name=name or "d", type="text"),))
    _, changes = said(revision.render(made, after="x'\"\\", said="m"))
    assert changes == [Declare(made.domains[0]), Decide(rule)]


def test_later_revisions_follow_the_one_before_and_the_same_draft_is_the_same_revision() -> None:
    made = draft(EMPTY, source(table("t", column("a"))))
    text = revision.render(made, after="one", said=revision.message(made))
    module, _ = said(text)
    assert (module.down_revision, module.branch_labels, module.depends_on) == ("one", None, None)
    assert text.startswith('"""Decide on 1 column of 1 table\n')
    assert revision.identifier(made, "one") == revision.identifier(made, "one") != revision.identifier(made, "two")
    assert revision.identifier(made, "one") in text


def test_formatters_leave_a_revision_as_it_is(tmp_path: Path) -> None:
    names = (
        "plain",
        "it's",
        'e\'mail "x"',
        'q"',
        "b\\s",
        "new\nline",
        "größe",
        "\x07",
        "x" * 63,
        "Mixed Case",
        "\u2028",
        "'''",
        '"""',
    )
    columns = [column(f"{name}", "timestamptz", comment="password") for name in names] + [
        column("c" * 60, "text", generated=True, inputs=names)
    ]
    made = draft(EMPTY, source(table("t", *columns, key=names[:3]), table('Quoted "T"', column("iban"))))
    (tmp_path / "draft.py").write_text(revision.render(made, after=None, said='say "it" \\ once"'), encoding="utf-8")
    for width in ("88", "100", "128"):
        ruff = [sys.executable, "-m", "ruff"]
        for check in (["format", "--diff"], ["check"]):
            done = subprocess.run(
                [*ruff, *check, "--isolated", "--line-length", width, "draft.py"],
                cwd=tmp_path,
                check=False,
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stdout + done.stderr
