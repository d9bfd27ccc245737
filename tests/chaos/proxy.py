"""A TCP proxy on loopback that can fail as networks do: cut what is connected, refuse, be slow, or say nothing at all."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.chaos.loop import Loop

__all__ = ["Proxy"]

_HOST = "127.0.0.1"
_CHUNK_BYTES = 1 << 18
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Proxy:
    """Hands on to `target` (host:port) whatever connects to its `port`; `latency`: seconds for each chunk in each direction.

    It listens all the time, so that nobody else gets the port: one that refuses resets what connects.
    """

    def __init__(self, loop: Loop, *, latency: float = 0.0) -> None:
        self._loop = loop
        self._latency = latency
        self._refusing = False
        self._connected: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.target = ""
        self._server, self._talking = loop.call(self._listen())

    @property
    def port(self) -> int:
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def cut(self) -> None:
        """Resets every connection; new ones are fine."""
        self._loop.call(self._reset())

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Meanwhile nobody is connected."""
        self._refusing = True
        self.cut()
        try:
            yield
        finally:
            self._refusing = False

    @contextmanager
    def slow(self, seconds: float) -> Iterator[None]:
        """Meanwhile everything takes so much longer."""
        self._latency += seconds
        try:
            yield
        finally:
            self._latency -= seconds

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Meanwhile nothing comes through, and nobody is told."""
        self._loop.call(self._talk(False))
        try:
            yield
        finally:
            self._loop.call(self._talk(True))

    def close(self) -> None:
        self._loop.call(self._close())

    async def _listen(self) -> tuple[asyncio.Server, asyncio.Event]:
        talking = asyncio.Event()
        talking.set()
        return await asyncio.start_server(self._accept, _HOST, 0), talking

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            _reset(writer)
            return
        host, _, port = self.target.rpartition(":")
        try:
            onward_reader, onward_writer = await asyncio.open_connection(host, int(port))
        except OSError:
            _reset(writer)
            return
        self._connected |= {writer, onward_writer}
        for one, other in ((reader, onward_writer), (onward_reader, writer)):
            task = asyncio.create_task(self._hand_on(one, other))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _hand_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(_CHUNK_BYTES):
                await asyncio.sleep(self._latency)
                await self._talking.wait()
                writer.write(chunk)
                await writer.drain()
        writer.close()
        self._connected.discard(writer)

    async def _reset(self) -> None:
        for writer in self._connected:
            _reset(writer)
        self._connected.clear()

    async def _talk(self, talking: bool) -> None:
        if talking:
            self._talking.set()
        else:
            self._talking.clear()

    async def _close(self) -> None:
        self._server.close()
        await self._reset()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()


def _reset(writer: asyncio.StreamWriter) -> None:
    connection: socket.socket | None = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()
