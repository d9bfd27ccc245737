"""One of the captures through a real worker: each record has its outcome, and nothing that was planted is anywhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cdc_masker.events import Fate, Record
from cdc_masker.stack import Stack
from tests.integration.kit import Deployment, until
from tests.zoo.capture import Capture
from tests.zoo.search import Haystack, forms, leaves, texts_of
from tests.zoo.tables import CANARIES

pytestmark = pytest.mark.stack


@pytest.fixture
def deployed(stack: Stack, zoo: dict[str, Capture], unique: Callable[[str], str], tmp_path: Path) -> Iterator[Deployment]:
    server = zoo["structured"].server
    deployment = Deployment.make(
        stack,
        tmp_path,
        unique("zoo"),
        source_topics=rf"{server}\..*|__debezium-heartbeat\.{server}",
    )
    yield deployment
    deployment.close()


def test_nothing_that_was_planted_leaves_a_worker(deployed: Deployment, zoo: dict[str, Capture]) -> None:
    capture = zoo["structured"]
    worker = deployed.ready(deployed.start(level="debug"))
    topics = {record.topic for record in capture.records()}
    expected = sum(sum(deployed.end_offsets(topic).values()) for topic in topics)  # heartbeats went on for a while
    until(lambda: deployed.audited() == expected, 60, lambda: (deployed.audited(), expected))

    fates: Counter[Fate] = Counter()
    for entry in deployed.audit():
        fates.update(entry.counts)
    notifications = len(capture.topics["notifications"])
    assert (fates[Fate.DROPPED], fates[Fate.QUARANTINED]) == (notifications, 0)
    everything: list[bytes] = [worker.log.read_bytes(), worker.page("metrics")[1].encode()]
    published = 0
    for topic in topics:
        if not topic.endswith(".notifications"):
            masked = deployed.records(deployed.masked_topic(topic))
            published += len(masked)
            everything += texts_of(
                Record(one.topic, one.partition, one.offset, one.timestamp, one.key, one.value, tuple(one.headers))
                for one in masked
            )
    assert published == expected - notifications
    everything += [record.value for record in deployed.records(deployed.environment["CDC_MASKER_AUDIT_TOPIC"])]
    needles = leaves(capture, frozenset()).union(*(forms(place, planted) for place, planted in CANARIES.items()))
    haystack = Haystack(everything)
    assert not [needle for needle in needles if needle in haystack]
