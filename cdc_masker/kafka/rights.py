"""What may be said of an error of Kafka: its class, or which topic a right is missing on.

What always holds: no text of an error is told, since it is somebody else's; a name of a topic is no value.
"""

from __future__ import annotations

from aiokafka.errors import TopicAuthorizationFailedError

__all__ = ["described", "missing_right"]


def described(error: BaseException) -> str:
    """What to say of an error in a line of the log or within a sentence."""
    return missing_right(error) or type(error).__name__


def missing_right(error: BaseException) -> str | None:
    """The topics that the error says a right is missing on; None: it says something else."""
    if not isinstance(error, TopicAuthorizationFailedError):
        return None
    match error.args:
        case (str(name),):
            names = name
        case (set(found),):
            names = ", ".join(sorted(found))
        case _:
            return None
    return f"the Kafka user lacks a right on topic {names}"
