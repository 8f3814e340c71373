"""Process supervision for `crmgql dev` and `serve`.

Enters: the child processes to run. Leaves: an exit code, once every child is gone.
Always holds: no child outlives the supervisor, however that ends. Children run in sessions of their own, so that a
terminal's Ctrl-C reaches the supervisor alone, which stops them in order.

Run as a program (`python -m crmgql.dev.supervise`), this module is the guard: a process that does nothing until the
supervisor is killed and then stops what it left behind, grandchildren included.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from types import FrameType

from crmgql import errors

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 30.0
POLL_S = 0.05
SPARE_AFTER_S = 1.0
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Child:
    """A program to keep running. `env` is its whole environment; None: ours.

    With `restart` a death is made good, unless the program gave up before `settles_s`: then it can't start, and that
    ends everything. With `standby` too, and at once: the program waits for a line on stdin before it begins to work, and
    a second one is kept waiting.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] | None = None
    restart: bool = False
    standby: bool = False
    settles_s: float = 0.0


def run(children: Sequence[Child], *, stop_timeout_s: float = 10) -> int:
    """Run the children until a signal or a death ends it all; they are stopped last to first.

    Returns 0 after SIGINT, SIGTERM or SIGHUP; else the exit code of the child that ended it, or 1. A second signal
    skips the wait for an orderly stop. Call it from the main thread. Raises SetupError for a program that can't start.
    """
    with _caught_signals() as caught, _guard(stop_timeout_s) as guard:
        running = [_Running(child, guard) for child in children]
        try:
            for each in running:
                each.start()
            while not caught:
                fatal = next((code for each in running if (code := each.check()) is not None), None)
                if fatal is not None:
                    return fatal
                time.sleep(POLL_S)
            return 0
        finally:
            already_caught = len(caught)
            for each in reversed(running):
                each.stop(stop_timeout_s, hurry=lambda: len(caught) > already_caught)


def port_is_free(host: str, port: int) -> None:
    """Raise SetupError, with the setting to change, unless a server could listen there now."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            # Without it, connections of an earlier run in TIME_WAIT would look like a taken port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except PermissionError:
        raise errors.SetupError(
            f"Port {port} needs more rights than we have, set CRMGQL_PORT to 1024 or more."
        ) from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise errors.SetupError(f"Port {port} on {host} is taken, set CRMGQL_PORT to another one.") from None
        raise errors.SetupError(f"{host} is no address of this machine, set CRMGQL_HOST to another one.") from None


def die_with_parent(number: signal.Signals) -> Callable[[], None]:
    """A `preexec_fn` that has the kernel send the signal to the new process when we die (Linux; elsewhere nothing).

    The kernel watches the thread that forks, not the process: off the main thread it would fire too early.
    """
    if sys.platform != "linux" or threading.current_thread() is not threading.main_thread():
        return lambda: None
    libc = ctypes.CDLL(None)  # loaded before the fork, where it is safe
    return partial(_bind, libc, os.getpid(), number)


def die_with(parent: int, number: signal.Signals) -> None:
    """The same for a process that was forked by the parent's main thread: it calls this itself."""
    if sys.platform == "linux":
        _bind(ctypes.CDLL(None), parent, number)


def _bind(libc: ctypes.CDLL, parent: int, number: signal.Signals) -> None:
    libc.prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if os.getppid() != parent:  # it died before the kernel was asked
        os._exit(1)


@dataclass
class _Running:
    """One child and what is known about its current process, and about the one that waits to take over."""

    child: Child
    guard: subprocess.Popen[str]
    process: subprocess.Popen[bytes] | None = None
    spare: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_again_at: float = 0.0
    start_spare_at: float = 0.0
    backoff_s: float = field(default=FIRST_BACKOFF_S)

    def start(self) -> None:
        """Begin with the spare, if there is one; the next one is not to take the processor from who begins."""
        spare, self.spare = self.spare, None
        self.process = spare or self._launch()
        self.started_at = time.monotonic()
        self.start_spare_at = self.started_at + (self.child.settles_s if spare is None else SPARE_AFTER_S)
        if self.process.stdin is not None:
            with suppress(OSError):  # it is dead already, which the next check finds
                self.process.stdin.write(b"\n")
                self.process.stdin.close()

    def _launch(self) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(  # noqa: S603 (our own command lines)
                list(self.child.argv),
                bufsize=0,
                stdin=subprocess.PIPE if self.child.standby else None,
                env=self.child.env,
                start_new_session=True,
                preexec_fn=self._before_exec(),
            )
        except OSError as error:
            raise errors.SetupError(f"{self.child.name} can't be started: {error}.") from None

    def _before_exec(self) -> Callable[[], None]:
        """The child itself informs the guard: if we did, we could be killed between its start and our word."""
        bind_to_us = die_with_parent(signal.SIGTERM)
        assert self.guard.stdin is not None
        guard = self.guard.stdin.fileno()

        def before_exec() -> None:
            bind_to_us()
            with suppress(OSError):  # a dead guard is no reason to stop working
                os.write(guard, f"+{os.getpid()}\n".encode())

        return before_exec

    def check(self) -> int | None:
        """Restart what died and may be restarted; an exit code when the death ends everything."""
        now = time.monotonic()
        if self.process is None:
            if now >= self.start_again_at:
                self.start()
            return None
        if self.child.standby:
            self._keep_spare(now)
        code = self.process.poll()
        if code is None:
            return None
        self._bury(self.process)
        self.process = None
        ending = f"signal {-code}" if code < 0 else f"exit code {code}"
        gave_up = code >= 0 and now - self.started_at < self.child.settles_s
        if gave_up or not (self.child.restart or self.child.standby):
            _say(f"{self.child.name} ended ({ending}): stopping the rest.")
            return code if code > 0 else 1
        self._start_again(now, ending)
        return None

    def _start_again(self, now: float, ending: str) -> None:
        if self.child.standby:  # the time that a spare needs to get ready is back-off enough
            _say(f"{self.child.name} ended ({ending}): starting it again.")
            self.start()
            return
        if now - self.started_at > LONGEST_BACKOFF_S:
            self.backoff_s = FIRST_BACKOFF_S
        _say(f"{self.child.name} ended ({ending}): starting it again in {self.backoff_s:g} s.")
        self.start_again_at = now + self.backoff_s
        self.backoff_s = min(self.backoff_s * 2, LONGEST_BACKOFF_S)

    def _keep_spare(self, now: float) -> None:
        if self.spare is not None and self.spare.poll() is not None:
            self._bury(self.spare)
            self.spare = None
            self.start_spare_at = now + LONGEST_BACKOFF_S
        if self.spare is None and now >= self.start_spare_at:
            self.spare = self._launch()

    def stop(self, timeout_s: float, *, hurry: Callable[[], bool]) -> None:
        if self.spare is not None:
            self._bury(self.spare)  # it has nothing to finish
        if self.process is None:
            return
        self.process.terminate()
        deadline = time.monotonic() + timeout_s
        while self.process.poll() is None and time.monotonic() < deadline and not hurry():
            time.sleep(POLL_S)
        if self.process.poll() is None:
            _say(f"{self.child.name} did not stop in {timeout_s:g} s: killed.")
        self._bury(self.process)

    def _bury(self, process: subprocess.Popen[bytes]) -> None:
        """Nothing of the process's session may stay: its own children are killed with it."""
        _signal_group(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdin is not None:
            process.stdin.close()
        assert self.guard.stdin is not None
        with suppress(OSError):
            self.guard.stdin.write(f"-{process.pid}\n")
            self.guard.stdin.flush()


@contextmanager
def _caught_signals() -> Iterator[list[int]]:
    """While open, stop signals are put on the list and do nothing else."""
    caught: list[int] = []

    def catch(number: int, _frame: FrameType | None) -> None:
        caught.append(number)

    before = {number: signal.signal(number, catch) for number in STOP_SIGNALS}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _guard(stop_timeout_s: float) -> Iterator[subprocess.Popen[str]]:
    """The guard reads from us which process groups live; its input ends when we do, even by SIGKILL."""
    argv = [sys.executable, "-m", "crmgql.dev.supervise", str(stop_timeout_s)]
    guard = subprocess.Popen(argv, stdin=subprocess.PIPE, text=True, start_new_session=True)  # noqa: S603
    try:
        yield guard
    finally:
        assert guard.stdin is not None
        with suppress(OSError):
            guard.stdin.close()
        guard.wait()


def _keep_guard(stop_timeout_s: float) -> None:
    groups: set[int] = set()
    for line in sys.stdin:
        (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
    deadline = time.monotonic() + stop_timeout_s
    groups = {group for group in groups if _signal_group(group, signal.SIGTERM)}
    while groups and time.monotonic() < deadline:
        time.sleep(POLL_S)
        groups = {group for group in groups if _signal_group(group, 0)}
    for group in groups:
        _signal_group(group, signal.SIGKILL)


def _signal_group(group: int, number: int) -> bool:
    """Whether somebody was there to get it."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # macOS says the second for a group of zombies
        return False
    return True


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    _keep_guard(float(sys.argv[1]))
