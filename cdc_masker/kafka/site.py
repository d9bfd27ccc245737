"""The worker's only pages: `/metrics` for Prometheus, `/live` and `/ready` for whatever supervises it.

Not Faust's web server, whose pages tell about its insides.
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from cdc_masker import metrics
from cdc_masker.errors import SetupError
from cdc_masker.settings import PREFIX, Settings

__all__ = ["Site"]


class Site:
    """Start it, and stop it at the end. `ready` says why the worker is not ready, None when it is."""

    def __init__(self, settings: Settings, ready: Callable[[], str | None]) -> None:
        self._settings = settings
        self._ready = ready
        application = web.Application()
        application.router.add_get("/metrics", self._metrics)
        application.router.add_get("/live", self._live)
        application.router.add_get("/ready", self._is_ready)
        self._runner = web.AppRunner(application, access_log=None)

    async def start(self) -> None:
        """Raises `SetupError` when the port is taken."""
        host, port = self._settings.web_host, self._settings.web_port
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port, shutdown_timeout=1).start()
        except OSError:
            raise SetupError(f"{host}:{port} can't be listened on; set {PREFIX}WEB_HOST and {PREFIX}WEB_PORT") from None

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=metrics.render(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def _live(self, request: web.Request) -> web.Response:
        return web.Response(text="live\n")

    async def _is_ready(self, request: web.Request) -> web.Response:
        reason = self._ready()
        return web.Response(text="ready\n") if reason is None else web.Response(status=503, text=f"{reason}\n")
