"""Whether the catalog is what was released, and what keeps it so."""

from __future__ import annotations

from collections.abc import Iterator

from cdc_masker.catalog.guarding import Condition
from cdc_masker.catalog.verifying import Verification
from cdc_masker.doctor.findings import Finding, Severity
from cdc_masker.settings import PREFIX

__all__ = ["of_catalog"]


def of_catalog(condition: Condition, verification: Verification, *, signatures_required: bool) -> Iterator[Finding]:
    """What was found in the catalog, and who may change it."""
    for problem in verification.problems:
        yield Finding(
            Severity.ERROR,
            f"catalog: {problem.partition(': ')[0]}",
            problem.partition(": ")[2],
            "let nothing be masked, find out who changed it, and restore it from a backup",
        )
    for table in condition.changeable:
        yield Finding(
            Severity.ERROR,
            f"catalog: {table}",
            "its rows can be changed and deleted: no trigger append_only that is enabled always",
            f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER append_only, or make it as the migration does",
        )
    for table in condition.emptyable:
        yield Finding(
            Severity.ERROR,
            f"catalog: {table}",
            "it can be truncated: no trigger append_only_truncate that is enabled always",
            f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER append_only_truncate, or make it as the migration does",
        )
    for role, right, name in condition.grants:
        yield Finding(
            Severity.ERROR,
            f"catalog: {name}",
            f"{role} has the right {right}, which no migration gave",
            "revoke it",
        )
    for what in condition.strange:
        yield Finding(
            Severity.ERROR,
            f"catalog: {what}",
            "it is not as the migrations of this program make it",
            "find out who changed it, and make it as the migration does; if the program is newer, run `cdc-masker db upgrade`",
        )
    for login in condition.owners:
        yield Finding(
            Severity.WARNING,
            f"catalog: role {login}",
            "it can become the owner, and so write versions and the audit past the functions that are there for it",
            "revoke that role from it (before PostgreSQL 16 CREATEROLE, too), and grant it for the time of an upgrade only",
        )
    if not condition.guarded:
        yield Finding(
            Severity.WARNING,
            "catalog: guard",
            "there is none, so the owner may alter and drop tables, and switch triggers off",
            "have a superuser run `cdc-masker db guard`",
        )
    if not signatures_required:
        yield Finding(
            Severity.WARNING,
            f"{PREFIX}POLICY_KEY_FILE",
            "versions need no signature, so whoever may write the catalog as a superuser may write policies",
            "sign versions with `cdc-masker policy sign`, and name the public key",
        )
    yield from _of_login(condition)


def _of_login(condition: Condition) -> Iterator[Finding]:
    may = {
        "is a superuser": condition.login_is_superuser,
        "is a member of the owner": condition.login_is_owner and not condition.login_is_superuser,
        "may release policies": condition.login_is_migrator and not condition.login_is_owner,
        "may sign policies": condition.login_is_signer and not condition.login_is_owner,
    }
    for what in (words for words, holds in may.items() if holds):
        yield Finding(
            Severity.WARNING,
            f"{PREFIX}DATABASE_URL",
            f"the login {what}; a worker that is taken over can change what it is held against",
            "give workers a login with the role of a worker only",
        )
