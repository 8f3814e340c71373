"""Processes that a measurement starts: each is waited for, watched and stopped by its own pid."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
START_S = 60.0
STOP_S = 10.0


@dataclass(frozen=True)
class Server:
    """A server under measurement, answering on 127.0.0.1."""

    name: str
    port: int
    process: subprocess.Popen[bytes]

    def peak_memory_mb(self) -> float:
        """Sum of the peak resident memory of its processes."""
        return sum(_peak_kb(pid) for pid in tree(self.process.pid)) / 1024


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(
    name: str, command: Sequence[str], port: int, environment: Mapping[str, str], log: Path, cwd: Path = ROOT
) -> Iterator[Server]:
    """Start a server and wait until it accepts connections; stop it, and whatever it started, at the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=cwd, env=os.environ | environment, stdout=output, stderr=output, stdin=subprocess.DEVNULL
        )
    try:
        deadline = time.monotonic() + START_S
        while not _accepts(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{name} did not start:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)
        yield Server(name, port, process)
    finally:
        _stop(process)


def drive(spec: Mapping[str, Any]) -> dict[str, float]:
    """Run the load generator once; see `bench.client`."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.client"],
        cwd=ROOT,
        input=json.dumps(spec) + "\n",
        capture_output=True,
        text=True,
        timeout=spec["warmup_s"] + spec["measured_s"] + 60,
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def run_crmgql(arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    """Run the product's command line to its end; returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "crmgql", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    if done.returncode:
        raise RuntimeError(f"crmgql {' '.join(arguments)} failed:\n{done.stderr[-2000:]}")
    return done.stdout.strip()


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _stop(process: subprocess.Popen[bytes]) -> None:
    family = tree(process.pid)
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        for pid in reversed(family):
            with suppress(ProcessLookupError):
                os.kill(pid, 9)
        process.wait(STOP_S)


def tree(pid: int) -> list[int]:
    """A process and all below it."""
    family = [pid]
    for parent in family:
        with suppress(OSError):
            for task in Path(f"/proc/{parent}/task").iterdir():
                family += [int(child) for child in (task / "children").read_text().split()]
    return family


def _peak_kb(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return 0
