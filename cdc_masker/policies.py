"""Rules and policies: what somebody decided about each column, as an immutable, digested value.

A policy document (JSON, `format` 1) is parsed once, at the edge, into a `Policy`. Absent members are filled with their
defaults, rules are sorted, and the digest is taken over that normal form, so that two documents that mean the same have the
same digest. An unknown member is refused: a misspelt one must never silently mean "default".

Whether a rule's method exists and takes its parameters is not known here: `cdc_masker.engine.check` says so.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Any, Literal, Self, TypeVar

import msgspec
import rfc8785

from cdc_masker import paths
from cdc_masker.errors import PolicyError

__all__ = [
    "ANY_SERVER",
    "EMPTY",
    "FORMAT",
    "Domain",
    "EnvelopeShape",
    "Policy",
    "Rule",
    "TableDefault",
]

FORMAT = 1
ANY_SERVER = "*"


class _Value(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Rule(_Value, frozen=True, kw_only=True):
    """One decision about one column (or, with `path`, about a part of it).

    Identifiers match exactly, as PostgreSQL stores them; `server` is Debezium's `source.name` and may be `*`. `type` is the
    column's PostgreSQL type, which is all that is known of it when events carry no schema.

    `pattern`: server, schema, table and column are patterns: a whole name, `*`, or a part of a name with a `*` before it, after
    it, or both.

    `strict`: a record with a value that the method can't take is quarantined, where else that value is redacted.
    `allow_small_domain` and `allow_uniqueness_loss` accept, with a `reason`, what is refused otherwise: equal outputs for equal
    inputs where so few values are possible that counting them tells which is which, and rows of a table with equal keys.
    """

    server: str = ANY_SERVER
    schema: str
    table: str
    column: str
    path: str | None = None
    type: str | None = None
    method: str
    params: dict[str, Any] = msgspec.field(default_factory=dict)
    pattern: bool = False
    strict: bool = False
    allow_small_domain: bool = False
    allow_uniqueness_loss: bool = False
    classification: str | None = None
    reason: str | None = None
    ticket: str | None = None

    @property
    def target(self) -> tuple[str, str, str, str, str]:
        """What the rule is about: (server, schema, table, column, path or ""). Among the rules of a policy that are patterns,
        and among those that aren't, no two share it.
        """
        return (self.server, self.schema, self.table, self.column, self.path or "")

    @property
    def place(self) -> str:
        """The rule's name in messages."""
        server = "" if self.server == ANY_SERVER else f"{self.server}:"
        kind = "pattern" if self.pattern else "rule"
        return f"{kind} {server}{self.schema}.{self.table}.{self.column}{self.path or ''}"


class TableDefault(_Value, frozen=True, kw_only=True):
    """What happens to the columns of one table that no rule is about: they are redacted or dropped, or the record that has one
    is quarantined. An undecided column of the key becomes a token, or quarantines, too.
    """

    server: str = ANY_SERVER
    schema: str
    table: str
    default: Literal["redact", "drop", "quarantine"]
    reason: str | None = None
    ticket: str | None = None


class Domain(_Value, frozen=True, kw_only=True):
    """A key space: equal values of columns in one domain get equal tokens.

    `type` is the PostgreSQL type of the form in which values are compared, so that columns of several types join; None: that
    of the columns, which then have to be of one type. `fold_case`: texts that differ in case only are equal. `per_subject`:
    each subject, named by another column of the row, has keys of its own, which can be destroyed.
    """

    name: str
    type: str | None = None
    fold_case: bool = False
    per_subject: bool = False


class EnvelopeShape(_Value, frozen=True, kw_only=True):
    """The shape of the events of one topic; topics that are not named hold Debezium envelopes.

    `flattened`: what Debezium's `ExtractNewRecordState` makes of them. `signals`: the envelopes of Debezium's table of signals,
    dropped while no rule names that table. `schema` and `table`, with `server` where rules need it, tell whose rows the topic
    holds where its name doesn't: flattened rows and tombstones have nothing else to tell it.
    """

    topic: str
    shape: Literal["debezium", "flattened", "signals"]
    server: str | None = None
    schema: str | None = None
    table: str | None = None
    reason: str | None = None
    ticket: str | None = None


class _Document(_Value, frozen=True, kw_only=True):
    format: Literal[1] = 1
    version: Annotated[int, msgspec.Meta(ge=0)] | None = None
    digest: str | None = None
    seal: str = ""
    default: Literal["redact"] = "redact"
    key_epoch: Annotated[int, msgspec.Meta(ge=1)] = 1
    tables: list[TableDefault] = msgspec.field(default_factory=list)
    domains: list[Domain] = msgspec.field(default_factory=list)
    envelopes: list[EnvelopeShape] = msgspec.field(default_factory=list)
    headers: list[str] = msgspec.field(default_factory=list)
    rules: list[Rule] = msgspec.field(default_factory=list)


class Policy(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Every rule in force at one version: immutable, numbered, identified by the digest of its canonical form.

    `key_epoch` says which root key all keys are derived from: rotation is a new epoch, for all domains at once. `seal` is that
    of the version in a catalog (`cdc_masker.sealing`), empty for a policy from elsewhere.

    Version 0 is the policy of somebody who decided nothing yet: everything is redacted.
    """

    version: int
    rules: tuple[Rule, ...] = ()
    tables: tuple[TableDefault, ...] = ()
    domains: tuple[Domain, ...] = ()
    envelopes: tuple[EnvelopeShape, ...] = ()
    headers: tuple[str, ...] = ()
    default: Literal["redact"] = "redact"
    key_epoch: int = 1
    seal: str = ""

    @classmethod
    def of(
        cls,
        version: int,
        *,
        seal: str = "",
        key_epoch: int = 1,
        rules: Iterable[Rule] = (),
        tables: Iterable[TableDefault] = (),
        domains: Iterable[Domain] = (),
        envelopes: Iterable[EnvelopeShape] = (),
        headers: Iterable[str] = (),
    ) -> Self:
        """A policy in normal form.

        Raises `PolicyError` when two members decide the same thing, a rule names no table, or a path can't be read.
        """
        rules = tuple(rules)
        for rule in rules:
            if not rule.table:  # it would hold wherever the table is not known
                raise PolicyError(rule.place, "names no table; a rule is about one table, or about one prefix of messages")
            if rule.path is not None:
                paths.parse(rule.path, rule.place)
            if rule.pattern and any("*" in part[1:-1] or (part[1:] == "*" == part[:1]) for part in rule.target[:4]):
                raise PolicyError(rule.place, "a `*` stands at the start or the end of a name, or alone")
        return cls(
            version=version,
            seal=seal,
            key_epoch=key_epoch,
            rules=_unique("rules", rules, lambda rule: (rule.pattern, rule.target)),
            tables=_unique("tables", tables, lambda table: (table.server, table.schema, table.table)),
            domains=_unique("domains", domains, lambda domain: domain.name),
            envelopes=_unique("envelopes", map(_whole, envelopes), lambda envelope: envelope.topic),
            headers=_unique("headers", headers, lambda header: header),
        )

    @classmethod
    def from_document(cls, document: bytes | Mapping[str, Any]) -> Self:
        """Parses a policy document. Raises `PolicyError` for anything unknown, misspelt or contradictory.

        A digest that stands in the document must be the digest of its content.
        """
        try:
            if isinstance(document, bytes):
                document = json.loads(document, object_pairs_hook=_once)
            parsed = msgspec.convert(document, _Document)
        except msgspec.ValidationError as error:  # names a member and types
            raise PolicyError("document", str(error)) from None
        except (ValueError, RecursionError):
            raise PolicyError("document", "is not JSON in UTF-8") from None
        policy = cls.of(
            parsed.version or 0,
            seal=parsed.seal,
            key_epoch=parsed.key_epoch,
            rules=parsed.rules,
            tables=parsed.tables,
            domains=parsed.domains,
            envelopes=parsed.envelopes,
            headers=parsed.headers,
        )
        if parsed.digest is not None and parsed.digest != policy.digest:
            raise PolicyError("digest", f"is not the digest of this content, which is {policy.digest}; was it edited?")
        return policy

    @cached_property
    def digest(self) -> str:
        """`sha256:` and the hex SHA-256 of the canonical JSON (RFC 8785) of what the policy decides.

        Version, reasons and tickets are left out: a policy that decides the same has the same digest.
        """
        content = self.document()
        del content["version"], content["digest"]
        for explained in (*content["tables"], *content["envelopes"], *content["rules"]):
            del explained["reason"], explained["ticket"]
        return "sha256:" + hashlib.sha256(_canonical(content)).hexdigest()

    def document(self) -> dict[str, Any]:
        """The whole policy as JSON values, each member present, in the order that people read."""
        content: dict[str, Any] = {
            "format": FORMAT,
            "version": self.version,
            "digest": "",
            "default": self.default,
            "key_epoch": self.key_epoch,
        }
        for name in ("tables", "domains", "envelopes", "headers", "rules"):
            content[name] = [msgspec.to_builtins(item) for item in getattr(self, name)]
        return content

    def export(self) -> dict[str, Any]:
        """`document()` with its digest filled in, and its seal if it has one: what `cdc-masker policy export` prints."""
        document = {**self.document(), "digest": self.digest}
        return {**document, "seal": self.seal} if self.seal else document


def _once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of the document; of a member that stands twice, parsers would silently take one."""
    found = dict(members)
    if len(found) != len(members):
        twice = next(name for name, count in Counter(name for name, _ in members).items() if count > 1)
        raise PolicyError("document", f"member {twice!r} stands twice in one object; keep one")
    return found


_Item = TypeVar("_Item")


def _unique(member: str, items: Iterable[_Item], identity: Callable[[_Item], Any]) -> tuple[_Item, ...]:
    ordered = sorted(items, key=identity)
    for one, other in pairwise(ordered):
        if identity(one) == identity(other):
            place = one.place if isinstance(one, Rule) else f"{member} {identity(one)!r}"
            raise PolicyError(place, "is decided twice; keep one")
    return tuple(ordered)


def _whole(envelope: EnvelopeShape) -> EnvelopeShape:
    if (envelope.schema is None) != (envelope.table is None) or (envelope.server is not None and envelope.table is None):
        raise PolicyError(f"envelope of topic {envelope.topic}", "names half a table; give schema and table, or neither")
    return envelope


def _canonical(content: Any) -> bytes:
    try:
        return rfc8785.dumps(content)
    except rfc8785.CanonicalizationError:
        raise PolicyError("params", "hold a number that JSON can't carry exactly; write it as a string") from None


EMPTY = Policy.of(0)
