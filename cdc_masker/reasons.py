"""What each reason for which a record was not published means, and what to do about it: for commands and docs."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from cdc_masker.errors import Reason

__all__ = ["MEANINGS", "Meaning", "meaning"]


class Meaning(NamedTuple):
    """One or two sentences each."""

    means: str
    remedy: str


_CONVERTER = "Let the connector write JSON with Kafka Connect's JsonConverter (`cdc-masker connector apply` does)."
_WRITER = "Find out what wrote it: Debezium does not."

MEANINGS: Mapping[Reason, Meaning] = MappingProxyType(
    {
        Reason.NOT_UTF8: Meaning("The text is not UTF-8.", _WRITER),
        Reason.NOT_JSON: Meaning(
            "The text is empty, is no JSON, such as Avro, or nests deeper than 100 levels.",
            f"{_CONVERTER} If it was JSON: something in the column nests too deeply.",
        ),
        Reason.AMBIGUOUS_JSON: Meaning(
            "A name stands twice in one object, so that readers would not agree on what it says.",
            "Correct the document in the source, often a column of type `json`: `jsonb` keeps each name once.",
        ),
        Reason.UNKNOWN_SHAPE: Meaning(
            "The record is no change event of Debezium, nor what the policy says that its topic holds.",
            "Say in the policy what the topic holds (`op.shape_topic`), or take the topic out of `CDC_MASKER_SOURCE_TOPICS`.",
        ),
        Reason.BAD_ENVELOPE: Meaning(
            "It looks like a change event, and a part of it is not as Debezium writes it.",
            "Take out transformations that change events on their way, or report a bug.",
        ),
        Reason.BAD_KEY: Meaning(
            "The key is no object of columns, or the key in a header stands beside no key.",
            f"{_CONVERTER} Take out transformations that change keys.",
        ),
        Reason.SCHEMA_MISMATCH: Meaning(
            "The embedded schema does not describe what is beside it.",
            "Take out transformations that change records but not their schema, or report a bug.",
        ),
        Reason.AMBIGUOUS_TABLE: Meaning(
            "Rules for more than one table fit the topic's name, or the row says that it is of another table than the policy.",
            "Say in the policy which table the topic holds (`op.shape_topic`), or name its server in the rules.",
        ),
        Reason.TOO_LARGE: Meaning(
            "The masked record is larger than the masked topic takes.",
            "Raise `max.message.bytes` of the masked topic and restart the workers, or mask a column to something shorter.",
        ),
        Reason.EGRESS_GUARD: Meaning(
            "A value that the policy masks stood in the masked record all the same.",
            "See whether the same value stands in a column that is kept, and mask that one, too; else report a bug.",
        ),
        Reason.UNMASKABLE: Meaning(
            "A strict rule, or one for a column of the key, has a method that can't take the value.",
            "Choose a method that can, or let the rule redact such values (`strict=False`); in a key correct the value.",
        ),
        Reason.UNFIT_KEY_RULE: Meaning(
            "Under the rule for a column of the key different rows could get the same key, or rows another shape.",
            "Choose a method that keeps values distinct, or say `allow_uniqueness_loss` and why.",
        ),
        Reason.UNDECIDED: Meaning(
            "No rule is about the column, and the table's default is `quarantine`.",
            "Write a rule for the column.",
        ),
        Reason.SIGNAL: Meaning("It is a signal to Debezium, which is never published.", "Nothing."),
        Reason.NOTIFICATION: Meaning("It is a notification of Debezium, which is never published.", "Nothing."),
    }
)


def meaning(reason: str) -> Meaning:
    """The meaning of a reason as it stands in the audit."""
    known = {each.value: each for each in Reason}
    if reason not in known:
        return Meaning("A later version of cdc-masker wrote it.", "Ask that version.")
    return MEANINGS[known[reason]]
