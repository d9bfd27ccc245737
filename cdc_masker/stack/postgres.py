"""PostgreSQL of the local stack: one cluster with logical decoding, on a loopback port, with a password."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from cdc_masker.errors import SetupError
from cdc_masker.stack import programs
from cdc_masker.stack.processes import Command

__all__ = ["HOST", "REPLICATION_ROLE", "SUPERUSER", "Database", "Postgres"]

HOST = "127.0.0.1"
SUPERUSER = "postgres"
REPLICATION_ROLE = "debezium"

_OPTIONS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "wal_level": "logical",
    "max_wal_senders": "40",
    "max_replication_slots": "40",
    "max_connections": "200",
    "shared_buffers": "64MB",
    # Data survives the death of any process; that of the machine need not matter here.
    "fsync": "off",
}


@dataclass(frozen=True, slots=True)
class Database:
    """One database of the stack. `dsn` is the superuser's, with its password."""

    name: str
    host: str
    port: int
    password: str = field(repr=False)

    @property
    def dsn(self) -> str:
        return self.dsn_of(SUPERUSER, self.password)

    def dsn_of(self, role: str, password: str) -> str:
        """The address as another role."""
        return f"postgresql://{role}:{password}@{self.host}:{self.port}/{self.name}"


class Postgres:
    """How PostgreSQL starts. `home` is where its data is; see `make_home`."""

    name: ClassVar[str] = "postgres"
    ports: ClassVar[tuple[str, ...]] = ("postgres",)
    needs: ClassVar[tuple[str, ...]] = ()
    # A fast shutdown: SIGTERM would wait for clients to leave by themselves.
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT

    def __init__(self, home: Path, port: int, password: str) -> None:
        self._home = home
        self._data = home / "data"
        self._port = port
        self._password = password
        self._programs = programs.postgres_programs()
        self._user = _unprivileged_user()

    def prepare(self) -> None:
        """Makes the cluster when there is none; one that was not made to its end does not count."""
        if self._data.is_dir():
            return
        unfinished, password_file = self._home / "unfinished", self._home / "password"
        shutil.rmtree(unfinished, ignore_errors=True)
        password_file.touch(mode=0o600)
        password_file.write_text(self._password)
        if self._user:
            shutil.chown(password_file, self._user)
        account = pwd.getpwnam(self._user) if self._user else None
        made = subprocess.run(
            [
                self._programs.initdb,
                f"--pgdata={unfinished}",
                f"--username={SUPERUSER}",
                f"--pwfile={password_file}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
            ],
            cwd=self._home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            user=account and account.pw_uid,
            group=account and account.pw_gid,
            extra_groups=account and [],
        )
        password_file.unlink()
        if made.returncode:
            raise SetupError(f"initdb failed: {made.stderr.strip().splitlines()[-1:]}; remedy what it names and start again")
        unfinished.rename(self._data)

    def command(self) -> Command:
        options = {**_OPTIONS, "port": str(self._port)}
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        argv = (str(self._programs.postgres), "-D", str(self._data), *settings)
        return Command(argv=argv, environment=_environment(), user=self._user)

    def ready(self) -> bool:
        return self._psql("select 1", SUPERUSER).returncode == 0

    def settle(self) -> None:
        """Makes the role that Debezium connects as, with the superuser's password."""
        # A superuser, so that it can publish the tables of any database that is made here; connectors/README.md has the
        # rights that it needs elsewhere.
        self.execute(
            f"do $$ begin if to_regrole('{REPLICATION_ROLE}') is null then "
            f"create role {REPLICATION_ROLE} login superuser replication password '{self._password}'; "
            "end if; end $$"
        )

    def execute(self, sql: str, database: str = SUPERUSER) -> str:
        """Runs statements as the superuser and gives the rows, one a line, columns separated by `|`."""
        done = self._psql(sql, database)
        if done.returncode:
            raise SetupError(f"PostgreSQL of the stack refused a statement in database {database}: {done.stderr.strip()}")
        return done.stdout.strip()

    def database(self, name: str) -> Database:
        return Database(name, HOST, self._port, self._password)

    def _psql(self, sql: str, database: str) -> subprocess.CompletedProcess[str]:
        where = [f"--host={HOST}", f"--port={self._port}", f"--username={SUPERUSER}", f"--dbname={database}"]
        how = ["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", "--file=-"]
        return subprocess.run(
            [self._programs.psql, *where, *how],
            input=sql,
            capture_output=True,
            text=True,
            env={**_environment(), "PGPASSWORD": self._password, "PGCONNECT_TIMEOUT": "5"},
        )


def make_home(directory: Path) -> Path:
    """A directory for PostgreSQL's data below `directory`, or elsewhere for root.

    PostgreSQL refuses to run as root, and the user it runs as instead can't reach into root's directories.
    """
    user = _unprivileged_user()
    if user is None:
        home = directory / "postgres"
        home.mkdir(mode=0o700, exist_ok=True)
        return home
    home = Path(tempfile.mkdtemp(prefix="cdc-masker-postgres-", dir="/var/tmp"))
    shutil.chown(home, user, pwd.getpwnam(user).pw_gid)
    return home


def _unprivileged_user() -> str | None:
    """Whom PostgreSQL runs as: None for the present user, who isn't root."""
    if os.geteuid() != 0:
        return None
    known = {account.pw_name for account in pwd.getpwall()}
    return SUPERUSER if SUPERUSER in known else "nobody"


def _environment() -> dict[str, str]:
    """Ours without PG* variables, which would speak to another PostgreSQL."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}
