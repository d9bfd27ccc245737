"""The proxy through which chaos comes, before a server that echoes."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.chaos.loop import Loop
from tests.chaos.proxy import Proxy


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with socket.create_server(("127.0.0.1", 0)) as server, Loop() as loop:
        threading.Thread(target=_echo, args=(server,), daemon=True).start()
        proxy = Proxy(loop)
        proxy.target = f"127.0.0.1:{server.getsockname()[1]}"
        yield proxy
        proxy.close()
        server.shutdown(socket.SHUT_RDWR)


def test_it_hands_on_both_ways(proxy: Proxy) -> None:
    with _connect(proxy) as one, _connect(proxy) as other:
        assert _asked(one, b"one" * 100_000) == b"one" * 100_000
        assert _asked(other, b"two") == b"two"


def test_what_is_cut_is_reset_and_may_connect_again(proxy: Proxy) -> None:
    with _connect(proxy) as client:
        assert _asked(client, b"x") == b"x"
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with _connect(proxy) as client:
        assert _asked(client, b"y") == b"y"


def test_it_refuses_for_a_while(proxy: Proxy) -> None:
    with _connect(proxy) as client:
        assert _asked(client, b"x") == b"x"
        with proxy.refusing():
            with pytest.raises(ConnectionResetError):
                client.recv(1)
            _assert_refused(proxy)
    with _connect(proxy) as client:
        assert _asked(client, b"y") == b"y"


def test_a_server_that_is_away_is_a_reset(proxy: Proxy) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        proxy.target = f"127.0.0.1:{gone.getsockname()[1]}"
    _assert_refused(proxy)


def test_it_is_slow_for_a_while(proxy: Proxy) -> None:
    with _connect(proxy) as client, proxy.slow(0.05):
        began = time.monotonic()
        _asked(client, b"x")
        assert time.monotonic() - began >= 0.1


def test_it_says_nothing_for_a_while_and_loses_nothing(proxy: Proxy) -> None:
    with _connect(proxy) as client:
        client.settimeout(0.1)
        with proxy.silent():
            client.sendall(b"x")
            with pytest.raises(TimeoutError):
                client.recv(1)
        client.settimeout(10)
        assert client.recv(1) == b"x"


def _connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=10)


def _assert_refused(proxy: Proxy) -> None:
    with pytest.raises(ConnectionResetError), _connect(proxy) as client:  # some see it when they connect
        client.recv(1)


def _asked(client: socket.socket, question: bytes) -> bytes:
    threading.Thread(target=client.sendall, args=(question,)).start()
    answer = b""
    while len(answer) < len(question):
        answer += client.recv(1 << 16)
    return answer


def _echo(server: socket.socket) -> None:
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=_answer, args=(client,), daemon=True).start()


def _answer(client: socket.socket) -> None:
    with client:
        try:
            while asked := client.recv(1 << 16):
                client.sendall(asked)
        except ConnectionError:
            return
