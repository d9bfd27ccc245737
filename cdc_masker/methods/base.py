"""What a masking method is.

A method is a frozen value: its fields are its parameters, checked by type and bound when a policy is made. Compiled for one
column it becomes a `Transform`: keep the text, put a constant there, compute a new value (from the value alone, or from the
record around it, too), or leave the column out. A transform carries the type of its output, so that an embedded schema can tell
the truth about it.

Laws that the tests hold each method to: a constant says the same whatever came in, null included; a computed method leaves
null alone, gives equal output for equal input where it is `deterministic`, distinct output for distinct input where it says
that it preserves uniqueness, and raises `Unmaskable` for a value that it can't take, which the engine turns into a redaction.
Nothing but value, record position, row, keys and parameters decides what comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Protocol, Self

import msgspec
import orjson

from cdc_masker.errors import PolicyError
from cdc_masker.events import Treatment
from cdc_masker.kinds import Kind, kind_of
from cdc_masker.methods.recipes import Recipe
from cdc_masker.policies import Domain
from cdc_masker.schemas import Type, neutral

__all__ = [
    "EVERY_KIND",
    "NO_SUBJECTS",
    "UNCHANGED",
    "UNCHANGED_TEXT",
    "Column",
    "Compute",
    "Constant",
    "Context",
    "Contextual",
    "Disclosure",
    "Drop",
    "Erased",
    "Keep",
    "Keys",
    "Method",
    "Misfit",
    "MissingSubject",
    "Rewrite",
    "Subjects",
    "Transform",
    "Uniqueness",
    "Unmaskable",
    "redaction",
]

# What Debezium writes for a large value that the change did not touch, in each of its representations.
_MARKER = "__debezium_unavailable_value"
_MARKER_BYTES = "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="  # in base64
UNCHANGED_TEXT = orjson.dumps(_MARKER)
UNCHANGED = frozenset(
    orjson.dumps(marker)
    for marker in (
        _MARKER,
        _MARKER_BYTES,
        [_MARKER],
        [_MARKER_BYTES],
        [*_MARKER.encode()],  # arrays of integers and of dates
        ["b68a35a7-17ad-35b3-af2a-ae46edb4545a"],  # arrays of UUIDs: Java's nameUUIDFromBytes of it
        {_MARKER: _MARKER},
        f'{{"{_MARKER}":"{_MARKER}"}}',  # the same hstore as JSON text
    )
)


class Keys(Protocol):
    """Derived keys. Implementations pickle without showing a key, and so does their `repr`."""

    def derive(self, method: str, domain: str, epoch: int) -> bytes:
        """256 bits for one method, domain and epoch. Raises `KeyringError` when that key can't be had."""
        ...


class Misfit(StrEnum):
    """Why a method could not take a value: all that is told of it."""

    TYPE = "type"
    RANGE = "range"
    FORMAT = "format"
    SUBJECT = "subject"
    ERASED = "erased"


class Unmaskable(Exception):
    """The value is not one that this method can take. Carries the reason and nothing of the value."""

    def __init__(self, reason: Misfit = Misfit.TYPE) -> None:
        super().__init__(str(reason))
        self.reason = reason


class Erased(Exception):
    """The key of this subject was destroyed for records at this position."""


class MissingSubject(Exception):
    """The key of this subject has to be fetched first: the record is masked again afterwards."""


class Subjects(Protocol):
    """The keys of subjects, for domains that are declared per subject."""

    def key(self, domain: str, subject: str, topic: str, partition: int, offset: int) -> bytes:
        """256 bits that are the subject's own. Raises `Erased` or `MissingSubject`."""
        ...


class _NoSubjects:
    def key(self, domain: str, subject: str, topic: str, partition: int, offset: int) -> bytes:
        raise Erased


NO_SUBJECTS: Subjects = _NoSubjects()
"""Where nobody keeps keys of subjects: what needs one is redacted."""


@dataclass(slots=True)
class Context:
    """What is around a value: its record's position, and the row that it stands in.

    One for each record, moved on from row to row (`place`, `row`) and from column to column by the engine. `drawn` counts the
    draws inside of one column. `misfits` collects what could not be masked, by column and reason, `treatments` what was done to
    each row; `missing` tells that a subject's key has to be fetched before this record can be masked.
    """

    topic: str
    partition: int
    offset: int
    subjects: Subjects = NO_SUBJECTS
    place: str = ""
    row: Mapping[str, msgspec.Raw] = field(default_factory=dict, repr=False)
    drawn: int = 0
    misfits: dict[tuple[str, Misfit], int] = field(default_factory=dict)
    treatments: list[Treatment] = field(default_factory=list)
    missing: bool = False

    def position(self) -> bytes:
        """Names the value that is being masked, as no other: the message of a PRF. Each call is another draw."""
        self.drawn += 1
        parts = (self.topic, self.place)
        numbers = b"".join(number.to_bytes(8, "big") for number in (self.partition, self.offset, self.drawn))
        return numbers + b"".join(len(text := part.encode()).to_bytes(4, "big") + text for part in parts)

    def subject(self, column: str) -> str:
        """Whom the row is about, by the text of that column. Raises `Unmaskable` where it can't be read.

        An empty text names nobody: it stands where the old image of a deletion lacks the column.
        """
        raw = self.row.get(column)
        text = b"null" if raw is None else bytes(raw)
        if text in (b"null", b'""') or text in UNCHANGED or text.startswith((b"{", b"[")):
            raise Unmaskable(Misfit.SUBJECT)
        return str(orjson.loads(text)) if text.startswith(b'"') else text.decode()

    def subject_key(self, domain: str, column: str) -> bytes:
        """The subject's own key in that domain. Raises `Unmaskable` where there is none."""
        subject = self.subject(column)
        try:
            return self.subjects.key(domain, subject, self.topic, self.partition, self.offset)
        except Erased:
            reason = Misfit.ERASED
        except MissingSubject:
            self.missing = True
            reason = Misfit.SUBJECT
        raise Unmaskable(reason)

    def misfit(self, column: str, reason: Misfit) -> None:
        self.misfits[column, reason] = self.misfits.get((column, reason), 0) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """Where a method is applied: the column's names, its type if anything tells it, and what is known of domains.

    `domain` is the column's own key space, used where the rule names none; `declared` are the domains that the policy declares.
    `keyed_by`: the domain whose key is used for the column's own, if that has none of its own; then only its name, which goes
    into each computation, tells such columns apart.
    """

    place: str
    type: Type | None
    domain: str
    keyed_by: str | None = None
    epoch: int = 1
    declared: Mapping[str, Domain] = field(default_factory=dict)

    def space(self, name: str | None) -> Domain:
        """The domain of that name as declared, or with nothing declared about it; without a name, the column's own."""
        return Domain(name=self.domain) if name is None else self.declared.get(name) or Domain(name=name)

    def key(self, keys: Keys, method: str, space: Domain) -> bytes:
        """The key of a method in that domain, of which `space` gave the description."""
        return keys.derive(method, (self.keyed_by or space.name) if space.name == self.domain else space.name, self.epoch)


@dataclass(frozen=True, slots=True)
class Keep:
    """The text stays as it is."""


@dataclass(frozen=True, slots=True)
class Drop:
    """The column is not there, neither in the row nor in its schema."""


@dataclass(frozen=True, slots=True)
class Constant:
    """`value` stands there whatever came in; `type` describes it, None where the input had no type either."""

    value: Any
    type: Type | None


@dataclass(frozen=True, slots=True)
class Compute:
    """`function` gets the decoded value (never null) and gives the new one; `type` as in `Constant`.

    `may_return_input`: a value can come out as it went in, because that is what the method does with some.
    `may_return_number`: a number can, as a permutation maps one of all numbers to itself, on average.
    `recipe`: the function as data, for common values, where it can be said so.
    """

    function: Callable[[Any], Any]
    type: Type | None
    may_return_input: bool = False
    may_return_number: bool = False
    recipe: Recipe | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Contextual:
    """Like `Compute`, of a function that needs to know what is around the value, too.

    `may_return_another`: what comes out is never what went in, but may well be what another column of the row held.
    """

    function: Callable[[Any, Context], Any]
    type: Type | None
    may_return_input: bool = False
    may_return_number: bool = False
    may_return_another: bool = False


@dataclass(frozen=True, slots=True)
class Rewrite:
    """`function` gets the JSON text of a value (never null) and gives the masked text, or raises `Unmaskable`."""

    function: Callable[[bytes, Context], bytes]
    type: Type | None


Transform = Keep | Drop | Constant | Compute | Contextual | Rewrite


class Uniqueness(StrEnum):
    """Whether distinct values of a column stay distinct."""

    PRESERVED = "preserved"
    NOT_GUARANTEED = "not guaranteed"
    LOSSY = "lossy"


class Disclosure(StrEnum):
    """What somebody without keys can tell from the output. A method that discloses less is stronger."""

    NULLS = "whether it is null"
    EQUALITY = "which values are equal"
    LENGTH = "its length"
    FORMAT = "its format"
    MAGNITUDE = "roughly where it lies"
    PART = "a part of it"
    REVERSIBLE = "all of it, with the key"
    VALUE = "all of it"


_OF_THE_VALUE = frozenset((Disclosure.PART, Disclosure.MAGNITUDE, Disclosure.FORMAT))
"""What can't be compared between methods: a part says less or more than another, depending on the part."""

EVERY_KIND = frozenset(Kind)


class Method(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all methods. The class says what always holds, for people who choose and for policies that are compared.

    - `kinds`: what columns it takes. `output`: the type of what comes out, in words; mostly that of the column.
    - `deterministic`: equal values of one column (and one subject, if the rule names one) become equal ones.
    - `reversible`: who has the key can get the value back. `length_preserving`: text keeps its length in characters.
    - `uniqueness`: whether distinct values stay distinct. `discloses`: what the output tells.
    - `needs_type`: the numbers in an event mean nothing without the column's type, so the rule has to state it.
    """

    name: ClassVar[str]
    kinds: ClassVar[frozenset[Kind]]
    output: ClassVar[str] = "the column's"
    deterministic: ClassVar[bool] = True
    reversible: ClassVar[bool] = False
    length_preserving: ClassVar[bool] = False
    uniqueness: ClassVar[Uniqueness] = Uniqueness.LOSSY
    discloses: ClassVar[frozenset[Disclosure]] = frozenset()
    needs_type: ClassVar[bool] = False

    @property
    def named_subject(self) -> str | None:
        """The column of the row that names the subject whose key is used, if one is."""
        return None

    def check(self, place: str, declared: Type | None, domains: Mapping[str, Domain]) -> None:
        """Raises `PolicyError` when it can't work on a column of the declared type; `None`: nothing is declared.

        `domains` are those that the policy declares. An override calls this one.
        """
        if declared is not None and not self.accepts(declared):
            raise PolicyError(place, f"method {self.name} can't be used on a column of this type")

    def accepts(self, type_: Type) -> bool:
        """Whether columns of this type can be masked."""
        return kind_of(type_) in self.kinds

    def no_weaker_than(self, other: Method) -> bool:
        """Whether it tells no more about any value than `other` does: a partial order, in which different parts of a value
        can't be compared, so that neither is no weaker than the other.
        """
        if Disclosure.VALUE in other.discloses:
            return True
        if type(self) is type(other):
            return self == other or self.shows_no_more_than(other)
        if Disclosure.EQUALITY in self.discloses and not (self.joins_nothing and other.joins_nothing):
            return False  # equal to what, differs
        return self.discloses <= other.discloses and not self.discloses & _OF_THE_VALUE

    def shows_no_more_than(self, other: Self) -> bool:
        """Whether its parameters let less of a value through than those of another one of its class."""
        return False

    @property
    def joins_nothing(self) -> bool:
        """Whether it compares values of one column only, and all of them: no rule's `domain` or `subject` says otherwise."""
        return getattr(self, "domain", None) is None and self.named_subject is None

    @property
    def tells_equal(self) -> bool:
        """Whether it masks values, but leaves equal ones to be told: where there are few, counting finds out which is which."""
        return self.deterministic and Disclosure.EQUALITY in self.discloses and Disclosure.VALUE not in self.discloses

    @property
    def outputs(self) -> int | None:
        """How many outputs there are, each as likely, where distinct values may meet in one; None: that can't be said."""
        return None

    def keeps_distinct(self, domains: Mapping[str, Domain], type_: Type | None) -> bool:
        """Whether distinct values of one column of that type (and one subject) stay distinct; None: nothing tells the type.

        `domains` are those that are declared.
        """
        return self.uniqueness is Uniqueness.PRESERVED

    def compile(self, column: Column, keys: Keys) -> Transform:
        """The transform for a column whose type is unknown or accepted. It derives the same keys whatever the type is."""
        raise NotImplementedError


def redaction(type_: Type | None) -> Constant:
    """The constant that says nothing about a value of this type; null where the type is unknown."""
    if type_ is None:
        return Constant(None, None)
    output = type_.plain_text() if type_.is_text else type_
    return Constant(neutral(output), output)
