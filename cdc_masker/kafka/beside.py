"""What runs beside lanes, wherever their batches come from: the audit is copied, and the catalog is listened to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from cdc_masker.errors import SetupError, TransientError
from cdc_masker.kafka.auditing import AuditCopier
from cdc_masker.kafka.lanes import Lanes
from cdc_masker.kafka.parts import Parts
from cdc_masker.kafka.replays import Cancelled

__all__ = ["Task", "beside"]

Task = Coroutine[Any, Any, None]


def beside(parts: Parts, lanes: Lanes, notices: Callable[[Callable[[], None]], Task]) -> list[tuple[str, Task]]:
    """What to run until the lanes are closed, by names. None of them ends by itself.

    `notices` is what calls a function whenever the catalog may have news. The look for policies raises `Cancelled`.
    """
    news = asyncio.Event()

    def wake() -> None:
        news.set()
        parts.presence.wake()

    return [
        ("copying the audit", AuditCopier(parts.settings, parts.audit).run()),
        ("measuring the audit lag", parts.lag.run()),
        ("looking for policies", _look(parts, lanes, news)),
        ("hearing news of the catalog", notices(wake)),
        ("telling that this worker is here", parts.presence.run()),
    ]


async def _look(parts: Parts, lanes: Lanes, news: asyncio.Event) -> None:
    """Looks for policies and for what became of the generation, for ever, whenever there is news and from time to time. While
    the catalog is away, of which others tell, what is known stands.
    """
    while True:
        with suppress(TimeoutError):
            await asyncio.wait_for(news.wait(), parts.settings.policy_refresh)
        news.clear()
        await parts.maskers.refresh()
        parts.maskers.tell()
        try:
            await parts.course.look()
        except Cancelled:
            raise
        except (TransientError, SetupError):
            continue
        lanes.end(parts.course.ended)
