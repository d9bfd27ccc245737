"""`date_shift`: all dates of a subject move by the same number of days, so that what lies between them stays.

The number is HMAC-SHA-256(key, length-prefixed domain, subject) mod (2N+1) - N, and where that is 0, of the HMAC of that again.
The method and its limit N ≥ 183 are those of "Date Shifting" as health records are released with: between them, dates of a
year that nobody knows are left. A date that everybody knows would tell the shift of a subject, and with it all other dates:
the days that stand for no date with databases and with Debezium (`_KNOWN`) are `Unmaskable`.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from datetime import date
from typing import Annotated, Any, ClassVar, Self

import msgspec

from cdc_masker.kinds import Kind
from cdc_masker.methods import subjects
from cdc_masker.methods.base import (
    Column,
    Context,
    Contextual,
    Disclosure,
    Keys,
    Method,
    Misfit,
    Transform,
    Uniqueness,
    Unmaskable,
)
from cdc_masker.methods.subjects import Name
from cdc_masker.methods.times import DAY, day_of, rewriting

__all__ = ["DateShift"]

# The first and the last date of many programs, and the zero of SQL Server, Excel and of Unix, which Debezium also writes for a
# column that may not be null where the old row is not known.
_KNOWN = frozenset((date.min, date(1900, 1, 1), date(1970, 1, 1), date.max))


class DateShift(Method, frozen=True):
    """The date or timestamp, moved by 1 to `days` days, the same for all dates of whom the column `subject` names."""

    name: ClassVar[str] = "date_shift"
    kinds: ClassVar[frozenset[Kind]] = frozenset((Kind.DATE, Kind.TIMESTAMP, Kind.TEXT))
    uniqueness: ClassVar[Uniqueness] = Uniqueness.NOT_GUARANTEED
    discloses: ClassVar[frozenset[Disclosure]] = frozenset(
        (Disclosure.NULLS, Disclosure.EQUALITY, Disclosure.MAGNITUDE, Disclosure.PART)
    )
    needs_type: ClassVar[bool] = True
    subject: Name
    domain: Name
    days: Annotated[int, msgspec.Meta(ge=183, le=36_500)] = 183

    @property
    def named_subject(self) -> str | None:
        return self.subject

    def shows_no_more_than(self, other: Self) -> bool:
        return (self.subject, self.domain) == (other.subject, other.domain) and self.days >= other.days

    def compile(self, column: Column, keys: Keys) -> Transform:
        rewrite, shift = rewriting(column.type), self._shift(column, keys)

        def shifted(value: Any, context: Context) -> Any:
            days = shift(context)

            def moved(moment: int) -> int:
                if day_of(moment) in _KNOWN:
                    raise Unmaskable(Misfit.RANGE)
                return moment + days * DAY

            return rewrite(value, moved)

        return Contextual(shifted, column.type, may_return_another=True)

    def _shift(self, column: Column, keys: Keys) -> Callable[[Context], int]:
        """The number of days for the subject of a row."""
        space, subject, reach = column.space(self.domain), self.subject, self.days
        head = len(name := space.name.encode()).to_bytes(4, "big") + name

        def days(key: bytes, context: Context) -> int:
            draw = head + context.subject(subject).encode()
            found = 0
            while found == 0:
                draw = hmac.digest(key, draw, "sha256")
                found = int.from_bytes(draw, "big") % (2 * reach + 1) - reach
            return found

        if space.per_subject:
            return lambda context: days(
                subjects.derived(context.subject_key(space.name, subject), self.name, space, column.epoch), context
            )
        key = column.key(keys, self.name, space)
        return lambda context: days(key, context)
