"""From policy revisions to policy versions.

The policy in force is a function of the set of applied policy revisions: their changes, ancestors first. When Alembic
has applied or taken back one of them, that policy is inserted as a new version by one literal statement, so offline
scripts work too. The statement names the digest that the newest version must have, which is that of the revisions
applied before: a revision file that was edited after its release, or a digest that was changed, stops the next release.

A version that masks less than the one before it needs a reason: `op.allow_weaker(reason)` in the revision, or, where one is
taken back, `-x allow_weaker=REASON`.
"""

from __future__ import annotations

import io
import json
import traceback
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, MigrationInfo
from alembic.script import Script, ScriptDirectory
from alembic.util import to_tuple
from sqlalchemy import literal_column, select

from cdc_masker.catalog.changes import AllowWeaker, Change, Decide, replay
from cdc_masker.catalog.operations import SAID
from cdc_masker.comparison import Difference, weakenings
from cdc_masker.engine import check
from cdc_masker.errors import PolicyError, SetupError
from cdc_masker.methods import Method
from cdc_masker.policies import EMPTY, Policy, Rule

__all__ = ["CATALOG_BRANCH", "DIALECT_URL", "POLICY_BRANCH", "Releases"]

CATALOG_BRANCH = "catalog"
POLICY_BRANCH = "policy"
DIALECT_URL = "postgresql+asyncpg://"  # without a server: decides only how SQL is written


class Releases:
    """The policy revisions of a script directory; called by Alembic after each step (`on_version_apply`)."""

    def __init__(
        self, script: ScriptDirectory, schema: str, known: Mapping[str, type[Method]], allow_weaker: str | None = None
    ) -> None:
        self._script = script
        self._known = known
        self._schema = schema
        self._allow_weaker = allow_weaker
        self._changes = {
            revision.revision: _changes_of(revision)
            for revision in script.walk_revisions()
            if POLICY_BRANCH in revision.branch_labels
        }
        self.said: list[Change] = []
        """What the step that Alembic is running has said so far."""

    def newest(self) -> Policy:
        """The policy that all revisions together say. Raises `PolicyError` when it can't be carried out."""
        policy = self._policy(self._applied(self._script.get_heads()))
        check(policy, self._known)
        return policy

    def __call__(self, ctx: MigrationContext, step: MigrationInfo, heads: Collection[str], run_args: Mapping[str, Any]) -> None:
        said, self.said[:] = tuple(self.said), []
        revision = step.up_revision_id or ""
        if revision not in self._changes:
            if said:
                raise PolicyError(f"revision {revision}", f"is not on branch {POLICY_BRANCH}, where policies belong")
            return
        if step.is_stamp:
            raise PolicyError(f"revision {revision}", "can't be stamped: no version would be made of it")
        if said != (self._changes[revision] if step.is_upgrade else ()):
            raise PolicyError(
                f"revision {revision}",
                "upgrade() must say the same each time it runs, and downgrade() nothing: going back is done for you",
            )
        self._release(ctx, revision, step.is_upgrade, heads)

    def _release(self, context: MigrationContext, revision: str, is_upgrade: bool, heads: Collection[str]) -> None:
        after = self._applied(heads)
        missing = {script.revision for script in self._script.get_revisions(f"{CATALOG_BRANCH}@head")} - set(after)
        if missing and not context.as_sql:  # a script does not know what there is
            raise SetupError(
                "the catalog's own tables are older than this program; run `cdc-masker db upgrade`, or "
                f"`alembic upgrade {CATALOG_BRANCH}@head` first"
            )
        before = [each for each in after if each != revision] if is_upgrade else self._applied({*heads, revision})
        policy, policy_before = self._policy(after), self._policy(before)
        check(policy, self._known)
        reason = self._reason(revision) if is_upgrade else self._allow_weaker
        weaker = weakenings(policy_before, policy, self._rules(before), self._known)
        if weaker and not reason and self._changes.keys() & before:
            raise PolicyError(f"revision {revision}", _refusal(weaker, is_upgrade=is_upgrade))
        message = str(self._script.get_revision(revision).doc)
        document = {
            **policy.export(),
            "revision": revision,
            "heads": sorted(set(heads) & self._changes.keys()),
            "reason": message if is_upgrade else f"taken back: {message}",
            "weaker_reason": reason if weaker else None,
            "unexplained": bool(weaker)
            and not reason,  # as the very first policy may be: there was none before that it could weaken
        }
        arguments = (json.dumps(document), policy_before.digest, EMPTY.digest)
        call = f'"{self._schema}".release_policy({", ".join(_literal(argument) for argument in arguments)})'
        context.impl.execute(select(literal_column(call)))

    def _policy(self, revisions: Sequence[str]) -> Policy:
        return replay(change for each in revisions for change in self._changes.get(each, ()))

    def _rules(self, revisions: Sequence[str]) -> list[Rule]:
        """All that were ever in force."""
        return [change.rule for each in revisions for change in self._changes.get(each, ()) if isinstance(change, Decide)]

    def _reason(self, revision: str) -> str | None:
        return "; ".join(each.reason for each in self._changes[revision] if isinstance(each, AllowWeaker)) or None

    def _applied(self, heads: Iterable[str]) -> list[str]:
        """All revisions that `heads` imply, ancestors first; at a merge, in the order in which it names its parents."""
        applied: dict[str, None] = {}
        waiting = sorted(heads, reverse=True)
        while waiting:
            revision = self._script.get_revision(waiting[-1])
            parents = (*to_tuple(revision.down_revision, default=()), *to_tuple(revision.dependencies, default=()))
            before = [self._script.get_revision(parent).revision for parent in parents]
            open_parents = [parent for parent in before if parent not in applied]
            if open_parents:
                waiting += reversed(open_parents)
            else:
                applied.setdefault(revision.revision)
                waiting.pop()
        return list(applied)


def _changes_of(revision: Script) -> tuple[Change, ...]:
    """What a revision's `upgrade()` says, found by running it without a database."""
    said: list[Change] = []
    sql = io.StringIO()
    context = MigrationContext.configure(url=DIALECT_URL, opts={"as_sql": True, "output_buffer": sql, SAID: said})
    with Operations.context(context):
        try:
            revision.module.upgrade()
        except PolicyError:
            raise
        except Exception as error:  # noqa: BLE001  # it is not our code
            lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == revision.path]
            place = f"line {lines[-1]} of {revision.path}" if lines else revision.path
            raise PolicyError(
                f"revision {revision.revision}", f"upgrade() fails with {type(error).__name__} in {place}"
            ) from None
    if sql.getvalue():
        raise PolicyError(f"revision {revision.revision}", "holds other operations than policy operations; move them elsewhere")
    return tuple(said)


def _refusal(weaker: Sequence[Difference], *, is_upgrade: bool) -> str:
    remedy = "op.allow_weaker(reason)" if is_upgrade else "`alembic -x allow_weaker=REASON downgrade …`"
    listed = "; ".join(f"{each.place} was {each.before}, would be {each.after}" for each in weaker)
    return f"masks less than the version before; if that is meant, say {remedy}: {listed}"


def _literal(value: str) -> str:
    # E'' reads the same whatever standard_conforming_strings says, which an offline script can't know.
    return "E'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
