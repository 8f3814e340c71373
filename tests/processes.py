"""Processes of crmgql: forked in a moment from one that has imported everything, where a start takes up to two seconds of a
processor. In all else they are as operators start them: each has its environment, its log, and its death.

That they start from nothing too is shown by the tests of `crmgql dev`, of a spare server and of a worker without tables.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import signal
import subprocess
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.preloaded"])


class Process:
    """A running process, with what tests use of `subprocess.Popen`."""

    def __init__(self, module: str, *words: str, environment: Mapping[str, str], log: Path) -> None:
        self._process = FORKS.Process(target=_run, args=(module, words, dict(environment), str(log)))
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout_s: float | None = None) -> int:
        self._process.join(timeout_s)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout_s or 0)
        return code

    async def ended(self) -> int:
        """The exit code, once there is one."""
        while (code := self.poll()) is None:
            await asyncio.sleep(0.01)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def crmgql(*words: str, environment: Mapping[str, str], log: Path) -> Process:
    """Starts a command."""
    return Process("crmgql.__main__", *words, environment=environment, log=log)


def _run(module: str, words: tuple[str, ...], environment: dict[str, str], log: str) -> None:
    """Becomes the program: calls the module's `main`."""
    os.environ.clear()
    os.environ.update(environment)
    with Path(log).open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    random.seed()  # else all would draw the same numbers
    multiprocessing.set_start_method(None, force=True)  # Python's own choice, rather than the one it was made by
    sys.argv = [module, *words]
    import_module(module).main()
