"""A plain Faust agent: one event at a time, at least once.

Run: SOURCE=… TARGET=… GROUP=… BROKERS=host:port python -m benchmarks.peers.faust_agent worker -l warn
"""

from __future__ import annotations

import os
from typing import Any

import faust

from benchmarks.peers.masking import masked

app = faust.App(
    os.environ["GROUP"],
    broker=f"kafka://{os.environ['BROKERS']}",
    store="memory://",
    consumer_auto_offset_reset="earliest",
    topic_disable_leader=True,
    web_enabled=False,
)
source, target = (app.topic(os.environ[name], key_serializer="raw", value_serializer="raw") for name in ("SOURCE", "TARGET"))


@app.agent(source)  # type: ignore[untyped-decorator]  # Faust is untyped to us
async def mask(stream: Any) -> None:
    async for key, value in stream.items():
        await target.send(key=key, value=masked(value))


if __name__ == "__main__":
    app.main()
