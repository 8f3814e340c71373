"""The processes behind the embedded servers: started, waited for and stopped.

Enters: a command line, and how to tell that it is ready. Leaves: a server that runs while a context is open.
Always holds: what an earlier process left running is stopped only if it is that very program on that very directory;
no server gets a signal of our terminal; a server that does not start is a SetupError with its own telling line.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from crmgql import errors

LARGEST_LOG_BYTES = 10 * 1024 * 1024
POLL_S = 0.01
PATIENCE_S = 20.0
# Of PostgreSQL (time and process, or the middle of a sentence) and of Valkey.
LINE_START = r"^(\d{4}-\d\d-\d\d \S+ \w+ \[\d+\] |but |\d+:\w \d+ \w+ \d{4} \S+ # )\s*"

# How to ask a server to stop: each signal, and how many seconds later the next one.
StopPlan = Sequence[tuple[signal.Signals, float]]


@dataclass(frozen=True)
class Server:
    """A server that answers at `url`, for as long as its process lives."""

    url: str
    process: subprocess.Popen[bytes]
    log_path: Path

    def ending(self) -> str | None:
        """How it ended, in a line; None while it runs."""
        code = self.process.poll()
        if code is None:
            return None
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return f"The embedded {self.log_path.stem} ended ({how}, log: {self.log_path})"


@contextmanager
def patiently(
    start: Callable[[Path, bool], AbstractContextManager[Server]], home: Path, throwaway: bool
) -> Iterator[Server]:
    """Try again while the cause passes by itself: a killed server's workers that still hold its shared memory, or a
    port that was free when we looked."""
    deadline = time.monotonic() + PATIENCE_S
    with ExitStack() as stack:
        while True:
            try:
                started = stack.enter_context(start(home, throwaway))
                break
            except NotStarted as error:
                if "in use" not in error.message or time.monotonic() > deadline:
                    raise
            time.sleep(0.1)
        yield started


class NotStarted(errors.SetupError):
    """The server ended instead of getting ready."""


@contextmanager
def server(
    argv: list[str], log_path: Path, plan: StopPlan, preexec_fn: Callable[[], None], is_ready: Callable[[int], bool]
) -> Iterator[subprocess.Popen[bytes]]:
    """A server in a session of its own, out of reach of the terminal's Ctrl-C, ready when the context is entered."""
    with plain_io_errors(log_path.parent):
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
        yield process
    finally:
        _stop(process, plan)


def _wait_until_ready(
    process: subprocess.Popen[bytes], is_ready: Callable[[int], bool], log_path: Path, log_offset: int
) -> None:
    """No time limit: recovery after a crash takes what it takes, and a server that can't start ends by itself."""
    told_at = time.monotonic() + 5
    while not is_ready(process.pid):
        if process.poll() is not None:
            line = error_line(log_path.read_bytes()[log_offset:].decode(errors="replace"))
            raise NotStarted(
                f"The embedded {log_path.stem} did not start: {line} (log: {log_path}). If its files are damaged, "
                f"restore {log_path.parent} from a backup, or move it away to start anew."
            )
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


def stop_leftover(pid_file: Path, program: str, home: Path, plan: StopPlan) -> None:
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
            command = run_tool(["/bin/ps", "-o", "command=", "-p", str(pid)]).stdout
    except (FileNotFoundError, ProcessLookupError):
        return False
    return f"/{program} " in command and (home is None or f"{home}/" in command)


def run_tool(
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


def error_line(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"fatal|panic|error:|could not", line, re.IGNORECASE)]
    return re.sub(LINE_START, "", (telling or lines or ["it left no message"])[-1])


@contextmanager
def signals_as_exit() -> Iterator[None]:
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


@contextmanager
def plain_io_errors(home: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise errors.SetupError(
            f"{home} can't be used ({error.strerror}): set CRMGQL_DATA_DIR to a directory that can be written to."
        ) from None
