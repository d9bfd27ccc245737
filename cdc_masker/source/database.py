"""The way to the source database: one connection in one transaction that sees one moment, and reads only unless asked to.

What always holds: waiting is bounded, and an error tells the SQLSTATE and a remedy, never an address, a password, a value or
the server's message, which may quote one.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import asyncpg

from cdc_masker.errors import CdcMaskerError, SetupError, TransientError
from cdc_masker.settings import PREFIX, Settings

__all__ = ["open_source"]

_CONNECT_SECONDS = 10.0
_STATEMENT_SECONDS = 120.0
_URL = f"{PREFIX}SOURCE_URL"

# Classes of SQLSTATE after which the same may succeed: connection, rollback, resources, lock, operator, system.
_TRANSIENT_CLASSES = ("08", "40", "53", "55", "57", "58")


@asynccontextmanager
async def open_source(settings: Settings, *, writing: bool = False) -> AsyncIterator[Any]:
    """An asyncpg connection, in its transaction, which is committed at the end.

    Raises `SetupError` and `TransientError` for whatever the server refuses.
    """
    if settings.source_url is None:
        raise SetupError(f"no source database is set; set {_URL} to postgresql://user:password@host:port/database")
    with _refusals():
        connection = await _connect(settings.source_url.get_secret_value(), writing)
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=not writing):
                yield connection
        finally:
            await connection.close(timeout=_CONNECT_SECONDS)


async def _connect(address: str, writing: bool) -> Any:
    try:
        return await asyncpg.connect(
            address,
            timeout=_CONNECT_SECONDS,
            command_timeout=_STATEMENT_SECONDS,
            server_settings={
                "application_name": "cdc-masker",
                "default_transaction_read_only": "off" if writing else "on",
                "search_path": "pg_catalog",  # so that names of types elsewhere come with their schema
            },
        )
    except (ValueError, asyncpg.InterfaceError):
        raise SetupError(f"{_URL} is not an address; write postgresql://user:password@host:port/database") from None


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except ssl.SSLCertVerificationError:
        raise SetupError(
            f"the source's certificate is not trusted, or names another host; check sslrootcert and the host in {_URL}"
        ) from None
    except (OSError, asyncpg.InterfaceError):  # TimeoutError is an OSError
        raise TransientError(f"the source database does not answer; check that it runs where {_URL} points") from None
    except asyncpg.PostgresError as error:
        raise _translated(error.sqlstate or "") from None


def _translated(state: str) -> CdcMaskerError:
    if state.startswith("28"):
        return SetupError(f"the source database refused the login; check the user and password in {_URL}")
    if state == "3D000":
        return SetupError(f"the source has no such database; correct {_URL}")
    if state == "42501":
        return SetupError(
            f"the login in {_URL} lacks a privilege; grant it USAGE on the schemas and SELECT on the tables, or take no sample"
        )
    if state.startswith(_TRANSIENT_CLASSES):
        return TransientError(f"the source database can't serve now (SQLSTATE {state}); its log says why")
    return SetupError(f"the source database refused a statement (SQLSTATE {state}); its log says why")
