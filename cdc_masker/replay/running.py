"""The workers of a replay: ordinary workers that mask its generation, each a process with a port of its own.

What always holds: they go on when one of them fails, which is started again; when one refuses for what no restart can mend, all
are told to stop; and none outlives this process, however that ends, so that a replay that was killed is just run again.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing

from aiokafka.errors import KafkaError

from cdc_masker.errors import SetupError, TransientError
from cdc_masker.replay.progress import Progress, Watch
from cdc_masker.restarting import Supervision
from cdc_masker.settings import PREFIX, Settings

__all__ = ["environments", "follow", "run"]

_REFUSED = 2
_LOOK_SECONDS = 1.0


async def run(
    watch: Watch,
    command: Sequence[str],
    environments: Sequence[Mapping[str, str]],
    tell: Callable[[Progress], None],
    *,
    ends: bool,
    output: int | None = None,
) -> int:
    """Runs a worker's command in each of these environments until told to stop, or, if it `ends`, all bounds are passed.

    They write to the file descriptor `output`, or where this process does. Gives the code to exit with: 0, or 2 when a worker
    refused to go on.
    """
    supervision = Supervision(output=output)
    supervision.listen()
    workers = [asyncio.create_task(supervision.keep(command, each)) for each in environments]
    following = asyncio.create_task(follow(watch, tell, ends=ends))
    running: set[asyncio.Task[object]] = {*workers, following}
    try:
        while not all(worker.done() for worker in workers):
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            if following in done or any(worker.result() == _REFUSED for worker in workers if worker in done):
                supervision.ask(signal.SIGTERM)
    finally:
        supervision.ask(signal.SIGTERM)
        following.cancel()
        await asyncio.gather(following, *workers, return_exceptions=True)
    if following.done() and not following.cancelled():
        following.result()
    return max(worker.result() for worker in workers)


async def follow(watch: Watch, tell: Callable[[Progress], None], *, ends: bool) -> None:
    """Tells of each look. Returns when it `ends` and all bounds are passed; a server that is away is waited for."""
    while True:
        try:
            progress = await watch.look()
        except (KafkaError, TransientError):
            pass  # the workers say so
        else:
            tell(progress)
            if ends and progress.passed:
                return
        await asyncio.sleep(_LOOK_SECONDS)


def environments(settings: Settings, generation: int, workers: int) -> list[dict[str, str]]:
    """Those of so many workers: this process's, with the generation, and for each a port and a name of its own."""
    made = []
    ports = _free_ports(settings)
    for number in range(1, workers + 1):
        own = {"GENERATION": str(generation), "WEB_PORT": str(next(ports))}
        if settings.worker_name is not None:
            own["WORKER_NAME"] = f"{settings.worker_name}-{number}"
        ours = {PREFIX + name: value for name, value in own.items()}
        made.append({**{name: value for name, value in os.environ.items() if name.upper() not in ours}, **ours})
    return made


def _free_ports(settings: Settings) -> Iterator[int]:
    """Ports behind the one that is set, which stays the live worker's."""
    for port in range(settings.web_port + 1, 1 << 16):
        family = socket.AF_INET6 if ":" in settings.web_host else socket.AF_INET
        with closing(socket.socket(family)) as probe:
            try:
                probe.bind((settings.web_host, port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    break
                continue
        yield port
    raise SetupError(f"no port behind {settings.web_port} can be listened on at {settings.web_host}; set {PREFIX}WEB_PORT")
