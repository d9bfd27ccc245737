"""What a worker needs before it may join its group, checked in the order in which people set it up.

What always holds: what is wrong by itself (a setting, a key, a policy, a topic's configuration) refuses at once; a server or
topic that is not there yet is waited for a while, because whole stacks start together, and then is a `TransientError`: it may
be there when the worker is started again.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TypeVar

from aiokafka.errors import KafkaError

from cdc_masker import keys
from cdc_masker.catalog import Catalog, open_catalog
from cdc_masker.errors import SetupError, TransientError
from cdc_masker.kafka.alarm import GuardAlarm
from cdc_masker.kafka.auditing import AuditLag
from cdc_masker.kafka.cluster import Cluster
from cdc_masker.kafka.maskers import Maskers
from cdc_masker.kafka.parts import Parts
from cdc_masker.kafka.presence import Presence
from cdc_masker.kafka.replays import Course
from cdc_masker.kafka.rights import described
from cdc_masker.kafka.subjects import SubjectKeys
from cdc_masker.kafka.together import unless_error
from cdc_masker.kafka.topics import Topics
from cdc_masker.policies import Policy
from cdc_masker.settings import PREFIX, Settings

__all__ = ["check", "start"]

T = TypeVar("T")

_ADDRESSES = {"Kafka": f"{PREFIX}KAFKA_BROKERS", "PostgreSQL": f"{PREFIX}DATABASE_URL"}
_RETRY_SECONDS = 0.5
_WAITING_SHARE = 2 / 3  # of startup_timeout; the rest is for a last attempt and to say why not


def check(settings: Settings) -> None:
    """Raises `SetupError` when a setting that only the worker needs is missing."""
    for name, why in (
        ("source_topics", "a regular expression for the topics to mask"),
        ("database_url", "the address of the catalog"),
    ):
        if not getattr(settings, name):
            raise SetupError(f"{PREFIX}{name.upper()} is not set; set it to {why}")
    keys.source(settings)


async def start(settings: Settings, resources: AsyncExitStack, *, seconds_gone: float = 0.0) -> tuple[Parts, frozenset[str]]:
    """Everything the lanes work with, and the topics to begin with; `resources` closes it.

    `seconds_gone` is what starting the process has taken of `startup_timeout` already.

    Raises `SetupError`, `PolicyError`, `KeyringError` or `TransientError`, each with the remedy.
    """
    check(settings)
    keyring = await asyncio.to_thread(keys.source(settings).load)
    deadline = time.monotonic() + settings.startup_timeout * _WAITING_SHARE - seconds_gone

    catalog: Catalog = await resources.enter_async_context(open_catalog(settings))
    course = Course(settings.generation, catalog.generations, catalog.replays.find)
    await _patiently("PostgreSQL", course.look, deadline)
    policy, pin = await _patiently("PostgreSQL", lambda: _policies(settings, catalog, course), deadline)
    await _patiently("PostgreSQL", catalog.audit.check, deadline)
    maskers = Maskers(settings, catalog.policies, keyring, policy, pin)

    worker = settings.worker_name or f"{socket.gethostname()}:{os.getpid()}"
    subjects = SubjectKeys(settings, catalog.subjects, keyring)
    presence = Presence(settings, worker, catalog.subjects, subjects)
    await _patiently("PostgreSQL", presence.tell, deadline)
    resources.push_async_callback(presence.leave)

    cluster = Cluster(settings)
    resources.push_async_callback(cluster.close)
    await _patiently("Kafka", cluster.start, deadline)
    topics = Topics(cluster, settings, course.takes)
    sources = await _patiently("Kafka", lambda: _prepare(settings, topics, course), deadline)
    await _patiently("PostgreSQL", lambda: catalog.generations.register(settings.generation, sorted(sources), policy), deadline)
    return Parts(
        settings=settings,
        worker=worker,
        cluster=cluster,
        topics=topics,
        generations=catalog.generations,
        course=course,
        audit=catalog.audit,
        lag=AuditLag(settings, cluster),
        maskers=maskers,
        subjects=subjects,
        presence=presence,
        alarm=GuardAlarm(settings.guard_limit),
    ), sources


async def _policies(settings: Settings, catalog: Catalog, course: Course) -> tuple[Policy, Policy | None]:
    """The newest policy of the epoch that this generation began under, of any epoch if it is to begin now; and the one that a
    replay was begun with.
    """
    if course.replay is not None:
        pin = await catalog.policies.at(course.replay.policy_version)
        return await catalog.policies.current(pin.key_epoch), pin
    live = await catalog.generations.live()
    epochs = [each.key_epoch for each in live if each.number == settings.generation and settings.is_source(each.topic)]
    return await catalog.policies.current(max(epochs, default=None)), None


async def _prepare(settings: Settings, topics: Topics, course: Course) -> frozenset[str]:
    """Finds the sources and makes or checks every topic that is written."""
    sources = await topics.sources()
    if not sources and (ended := [each for each in course.ended if settings.is_source(each)]):
        raise SetupError(
            f"generation {settings.generation} is {course.ended[ended[0]]} for all topics that match; nothing is left to mask"
        )
    if not sources:
        raise TransientError(
            f"no topic matches {PREFIX}SOURCE_TOPICS={settings.source_topics!r}; start the connector, or correct the pattern"
        )
    await topics.ensure_own()
    for made in (await topics.ensure_outputs(sources)).values():
        unless_error(made)
    await topics.ensure_kept(settings.generations_topic)  # where consumers wait for the end of what they read
    return frozenset(sources)


async def _patiently(server: str, attempt: Callable[[], Awaitable[T]], deadline: float) -> T:
    """Tries until it works or the deadline is past; then the last reason is raised."""
    while True:
        try:
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + max(deadline - time.monotonic(), 1.0)):
                return await attempt()
        except TransientError as error:
            reason = error
        except TimeoutError:
            reason = TransientError(f"{server} does not answer; check {_ADDRESSES[server]}, and that the server runs there")
        except KafkaError as error:
            reason = TransientError(
                f"Kafka does not do what is needed ({described(error)}); check its log and the rights of the worker's user"
            )
        if time.monotonic() > deadline:
            raise reason from None
        await asyncio.sleep(_RETRY_SECONDS)
