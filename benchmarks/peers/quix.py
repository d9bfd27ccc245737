"""Quix Streams, exactly once: its own way to mask each event. Runs in an environment of its own, which `quix.lock` names.

Run: SOURCE=… TARGET=… GROUP=… BROKERS=host:port STATE=directory python -m benchmarks.peers.quix
"""

from __future__ import annotations

import os

from quixstreams import Application  # type: ignore[import-not-found]  # it is not in the project's own environment

from benchmarks.peers.masking import masked

application = Application(
    broker_address=os.environ["BROKERS"],
    consumer_group=os.environ["GROUP"],
    auto_offset_reset="earliest",
    processing_guarantee="exactly-once",
    commit_interval=0.1,
    auto_create_topics=False,
    use_changelog_topics=False,
    state_dir=os.environ["STATE"],
    loglevel="WARNING",
    producer_extra_config={"linger.ms": 20},
)
source = application.topic(os.environ["SOURCE"], key_deserializer="bytes", value_deserializer="bytes")
target = application.topic(os.environ["TARGET"], key_serializer="bytes", value_serializer="bytes")
application.dataframe(source).apply(masked).to_topic(target)

if __name__ == "__main__":
    application.run()
