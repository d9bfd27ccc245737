"""The way to the catalog's server: address, TLS, a small pool, and what its refusals mean for whoever runs the program.

What always holds: waiting for the server is bounded, and an error tells the SQLSTATE and a remedy, never an address, a
password, a parameter or the server's DETAIL.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import asyncpg
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from cdc_masker.errors import CdcMaskerError, SetupError, TransientError
from cdc_masker.settings import PREFIX, Settings

__all__ = ["Database", "open_engine", "refusals"]

_CONNECT_SECONDS = 5.0
_STATEMENT_SECONDS = 30.0
_URL = f"{PREFIX}DATABASE_URL"

# Classes of SQLSTATE after which the same statement may succeed: connection, rollback, resources, lock, operator, system,
# internal: where no new connection can be made for want of disk, PostgreSQL tells of that as one.
_TRANSIENT_CLASSES = ("08", "40", "53", "55", "57", "58", "XX")
_READ_ONLY = "25006"  # a server that became a standby
_RAISED = "P0001"  # our own functions: their message is a sentence of ours


class Database:
    """A pool of connections to the catalog, for one event loop."""

    def __init__(self, settings: Settings) -> None:
        self.schema = settings.database_schema
        self._engine = open_engine(settings, statement_seconds=_STATEMENT_SECONDS).execution_options(
            schema_translate_map={None: self.schema}
        )

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A connection in a transaction that ends with the block. Raises as `refusals` says."""
        with refusals(self.schema):
            async with self._engine.begin() as connection:
                yield connection

    async def close(self) -> None:
        await self._engine.dispose()


def open_engine(settings: Settings, *, statement_seconds: float | None = None) -> AsyncEngine:
    """An engine that has not connected yet. Raises `SetupError` when the settings name no usable address."""
    arguments = {
        "timeout": _CONNECT_SECONDS,
        "command_timeout": statement_seconds,
        "ssl": _tls(settings),
        "server_settings": {"application_name": "cdc-masker"},
    }
    return create_async_engine(
        _address(settings),
        connect_args=arguments,
        hide_parameters=True,
        pool_size=2,
        max_overflow=2,
        pool_timeout=_STATEMENT_SECONDS,
        pool_pre_ping=True,
    )


@contextmanager
def refusals(schema: str) -> Iterator[None]:
    """Turns what the driver raises into the project's errors.

    `TransientError`: the server is away or busy. `SetupError`: address, login, role or catalog are not as they must be.
    """
    try:
        yield
    except ssl.SSLCertVerificationError:
        raise SetupError(
            f"PostgreSQL's certificate is not trusted, or names another host; check {PREFIX}DATABASE_CA_FILE and {_URL}"
        ) from None
    except (PoolTimeoutError, OSError):  # TimeoutError is an OSError
        raise TransientError(
            f"PostgreSQL does not answer; check that it runs where {_URL} points, with TLS if {PREFIX}DATABASE_SSL asks for it"
        ) from None
    except (DBAPIError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise _translated(error, schema) from None


def _translated(error: BaseException, schema: str) -> CdcMaskerError:
    state, message = _refusal(error)
    if state is None:
        return TransientError(f"the connection to PostgreSQL broke; check that it runs where {_URL} points")
    if state == _RAISED:
        return SetupError(f"the catalog refused: {message}")
    if state.startswith("28"):
        return SetupError(f"PostgreSQL refused the login; check the user and password in {_URL}")
    if state == "3D000":
        return SetupError(f"there is no such database; create it or correct {_URL}")
    if state in ("3F000", "42P01", "42883"):
        return SetupError(f"schema {schema} holds no catalog, or an old one; run `cdc-masker db upgrade`")
    if state == "42501":
        return SetupError(
            f"the login in {_URL} lacks a privilege; grant it the role for its task: {schema}_worker, "
            f"{schema}_migrator, {schema}_auditor, {schema}_operator, {schema}_retention, or {schema}_owner for "
            "`cdc-masker db upgrade`"
        )
    if state.startswith(_TRANSIENT_CLASSES) or state == _READ_ONLY:
        return TransientError(f"PostgreSQL can't serve now (SQLSTATE {state}); its log says why")
    # Messages of class 42 name objects of the database; others may quote a value.
    what = f": {message}" if state.startswith("42") else ""
    return SetupError(f"PostgreSQL refused a statement (SQLSTATE {state}{what}); its log says why")


def _refusal(error: BaseException | None) -> tuple[str | None, str]:
    """SQLSTATE and primary message: SQLAlchemy hands the driver's error on as `orig` or `__cause__`."""
    while error is not None:
        if isinstance(error, asyncpg.PostgresError):
            return error.sqlstate, str(error.args[0] if error.args else "")
        error = (error.orig if isinstance(error, DBAPIError) else None) or error.__cause__
    return None, ""


def _address(settings: Settings) -> URL:
    if settings.database_url is None:
        raise SetupError(f"no catalog is set; set {_URL} to postgresql://user:password@host:port/database")
    try:
        url = make_url(settings.database_url.get_secret_value())
    except (ArgumentError, ValueError):
        raise SetupError(f"{_URL} is not an address; write postgresql://user:password@host:port/database") from None
    if url.drivername not in ("postgresql", "postgres") or set(url.query) - {"host"}:
        raise SetupError(
            f"{_URL} must start with postgresql:// and hold no option but host; TLS is set by {PREFIX}DATABASE_SSL"
        )
    return url.set(drivername="postgresql+asyncpg")


def _tls(settings: Settings) -> Any:
    """What asyncpg takes as `ssl`, with libpq's meaning of the modes."""
    mode, authority = settings.database_ssl, settings.database_ca_file
    if mode == "disable":
        return False
    if mode == "prefer":
        return "prefer"
    try:
        context = ssl.create_default_context(cafile=authority)
    except (OSError, ssl.SSLError):
        raise SetupError(f"the file of {PREFIX}DATABASE_CA_FILE can't be used; check that it is a PEM file") from None
    context.check_hostname = mode == "verify-full"
    if mode == "require" and authority is None:
        context.verify_mode = ssl.CERT_NONE
    return context
