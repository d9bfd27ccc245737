"""What keeps the catalog from being changed, as PostgreSQL has it: triggers, grants, the guard, and what a login may do.

The guard are event triggers that refuse to alter or drop anything in the catalog's schema (`migrations/guard.sql`). Only a
superuser can make them, and only a superuser can take them away.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text

from cdc_masker import resources
from cdc_masker.catalog.database import Database
from cdc_masker.catalog.functions import REFUSAL, Function, altered
from cdc_masker.catalog.tables import APPEND_ONLY
from cdc_masker.errors import SetupError
from cdc_masker.settings import PREFIX

__all__ = ["Condition", "Guarding"]

_KINDS = {"row": 1 | 2 | 8 | 16, "statement": 2 | 32}  # pg_trigger.tgtype: row, before, delete, update; before, truncate
_TRIGGERS = text("""
    WITH RECURSIVE held AS (
      SELECT oid FROM pg_class WHERE relnamespace = to_regnamespace(:schema) AND relname = ANY (:tables)
      UNION ALL
      SELECT inhrelid FROM pg_inherits JOIN held ON inhparent = held.oid
    )
    SELECT held.oid::regclass::text, coalesce(bool_or(tgtype = :row), false), coalesce(bool_or(tgtype = :statement), false)
    FROM held LEFT JOIN (pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid)
      ON tgrelid = held.oid AND tgenabled = 'A' AND tgqual IS NULL AND tgattr = '' AND trim(E'\\n ' from prosrc) = :refusal
    GROUP BY held.oid ORDER BY 1
""")
_GRANTS = text("""
    SELECT coalesce(rolname, 'PUBLIC'), privilege_type, name FROM (
      SELECT relname::text AS name, NULL AS of_column, (aclexplode(relacl)).*, relowner AS owner FROM pg_class
      WHERE relnamespace = to_regnamespace(:schema)
      UNION ALL
      SELECT relname::text, attname, (aclexplode(attacl)).*, relowner FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
      WHERE relnamespace = to_regnamespace(:schema)
      UNION ALL
      SELECT proname::text, NULL, (aclexplode(coalesce(proacl, acldefault('f', proowner)))).*, proowner FROM pg_proc
      WHERE pronamespace = to_regnamespace(:schema) OR pronamespace = to_regnamespace(:guard) AND prosecdef
      UNION ALL
      SELECT 'schema ' || nspname, NULL, (aclexplode(nspacl)).*, nspowner FROM pg_namespace WHERE oid = to_regnamespace(:schema)
    ) AS granted LEFT JOIN pg_roles ON pg_roles.oid = grantee
    WHERE grantee <> owner AND (
      privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER', 'EXECUTE', 'CREATE')
      OR privilege_type = 'SELECT' AND name = 'subject_key' AND coalesce(of_column, 'wrapped') = 'wrapped'
    )
    ORDER BY 1, 2, 3
""")
_FUNCTIONS = text("""
    SELECT proname::text, prosrc, prosecdef, coalesce(proconfig, '{}'), pg_get_userbyid(proowner)::text
    FROM pg_proc WHERE pronamespace = to_regnamespace(:schema)
""")
_STRANGE = text("""
    WITH held AS (SELECT * FROM pg_class WHERE relnamespace = to_regnamespace(:schema) AND relkind IN ('r', 'p'))
    SELECT 'trigger ' || tgname || ' on ' || relname
    FROM held JOIN pg_trigger ON tgrelid = held.oid JOIN pg_proc ON pg_proc.oid = tgfoid
    WHERE NOT tgisinternal
      AND (tgname NOT IN ('append_only', 'append_only_truncate', 'tell', 'refuse_cancelled') OR pronamespace <> relnamespace)
    UNION ALL
    SELECT 'rule ' || rulename || ' on ' || relname FROM held JOIN pg_rewrite ON ev_class = held.oid
    UNION ALL
    SELECT 'row security of ' || relname FROM held WHERE relrowsecurity
    UNION ALL
    SELECT 'owner of ' || relname FROM held WHERE relowner <> to_regrole(:owner)
    ORDER BY 1
""")
_OWNERS = text("""
    SELECT login.rolname::text FROM pg_roles AS login
    WHERE rolcanlogin AND NOT rolsuper AND EXISTS (
      SELECT FROM pg_roles AS able
      WHERE pg_has_role(login.oid, able.oid, 'MEMBER') AND (
        able.oid = to_regrole(:owner) OR able.rolsuper
        OR able.rolcreaterole AND current_setting('server_version_num')::int < 160000  -- it may grant itself any role
      )
    ) ORDER BY 1
""")
_GUARD = text("SELECT count(*) = 2 FROM pg_event_trigger WHERE evtname IN (:alter, :drop) AND evtenabled = 'A'")
_LOGIN = text("""
    SELECT rolsuper, pg_has_role(oid, to_regrole(:owner), 'MEMBER'), pg_has_role(oid, to_regrole(:migrator), 'MEMBER'),
      pg_has_role(oid, to_regrole(:signer), 'MEMBER')
    FROM pg_roles WHERE rolname = current_user
""")


@dataclass(frozen=True, slots=True)
class Condition:
    """What keeps the catalog from being changed, and what doesn't.

    `changeable` are append-only tables, and partitions of them, whose rows can be changed; `emptyable` those that can be
    truncated. `grants` are the rights to write, to execute, and to read keys of subjects, be it in single columns, beyond those
    that migrations give, as (role, privilege, object). `strange` are the functions, triggers, rules and owners that are not as
    migrations make them, `owners` the logins that can become the owner, superusers aside. `guarded`: there is a guard. What the
    login is, it is besides its task.
    """

    changeable: tuple[str, ...]
    emptyable: tuple[str, ...]
    grants: tuple[tuple[str, str, str], ...]
    strange: tuple[str, ...]
    owners: tuple[str, ...]
    guarded: bool
    login_is_superuser: bool
    login_is_owner: bool
    login_is_migrator: bool
    login_is_signer: bool


class Guarding:
    """Reads the condition, and makes the guard."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def condition(self) -> Condition:
        """The condition, as any login of the catalog can see it."""
        schema = self._database.schema
        held = {"schema": f'"{schema}"', "tables": list(APPEND_ONLY)}
        guard = {"guard": f'"{schema}_guard"'}
        roles = {role: f'"{schema}_{role}"' for role in ("owner", "migrator", "signer")}
        async with self._database.transaction() as connection:
            tables = (await connection.execute(_TRIGGERS, {**held, **_KINDS, "refusal": REFUSAL})).all()
            grants = (await connection.execute(_GRANTS, held | guard)).all()
            functions = [
                Function(name, source, definer, tuple(settings), owner)
                for name, source, definer, settings, owner in await connection.execute(_FUNCTIONS, held)
            ]
            strange = (await connection.execute(_STRANGE, held | roles)).scalars().all()
            owners = (await connection.execute(_OWNERS, roles)).scalars().all()
            login = (await connection.execute(_LOGIN, roles)).one()
            guarded = (await connection.execute(_GUARD, self._names())).scalar_one()
        if len(tables) < len(APPEND_ONLY):
            raise SetupError(f"schema {schema} holds no catalog, or an old one; run `cdc-masker db upgrade`")
        return Condition(
            tuple(name for name, by_row, _ in tables if not by_row),
            tuple(name for name, _, whole in tables if not whole),
            tuple(sorted({(str(role), str(right), str(name)) for role, right, name in grants} - _given(schema))),
            (*(f"function {name}" for name in altered(schema, functions)), *strange),
            tuple(owners),
            guarded,
            *login,
        )

    async def make(self) -> None:
        """Makes the guard, anew if it is there. Raises `SetupError` when the login may not."""
        statement = (resources.path("migrations") / "guard.sql").read_text().replace("@catalog@", self._database.schema)
        async with self._database.transaction() as connection:
            await connection.execute(text(statement))
            guarded = (await connection.execute(_GUARD, self._names())).scalar_one()
        if not guarded:
            raise SetupError(f"only a superuser can make the guard; set {PREFIX}DATABASE_URL to one for this command")

    def _names(self) -> dict[str, str]:
        return {each: f"{self._database.schema}_guard_{each}" for each in ("alter", "drop")}


_LOOKS = ("missing_audit_partitions", "misplaced_audit_months")


def _given(schema: str) -> set[tuple[str, str, str]]:
    """What migrations give."""
    given: dict[str, dict[str, tuple[str, ...]]] = {
        "worker": {
            "INSERT": ("generation", "audit_entry", "audit_note"),
            "EXECUTE": ("subject_keys", "worker_is_here", "worker_leaves", "make_audit_partitions", *_LOOKS),
        },
        "auditor": {"EXECUTE": _LOOKS},
        "retention": {"EXECUTE": ("retire_audit",)},
        "operator": {
            "EXECUTE": ("begin_replay", "tell_replay", "close_generation", "record_cutovers", "retire_generation"),
        },
        "owner": {"EXECUTE": ("make_audit_partitions", "retire_audit")},  # the guard's, which call the catalog's
        "migrator": {
            "INSERT": ("alembic_version",),
            "UPDATE": ("alembic_version",),
            "DELETE": ("alembic_version",),
            "EXECUTE": ("release_policy",),
        },
        "signer": {"EXECUTE": ("sign_policy",)},
        "custodian": {"SELECT": ("subject_key",), "EXECUTE": ("begin_erasure", "complete_erasure", "write_receipt")},
    }
    return {
        (f"{schema}_{role}", right, name) for role, rights in given.items() for right, names in rights.items() for name in names
    }
