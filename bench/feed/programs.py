"""Programs beside the server under measurement: each a process of its own that takes orders, a line of JSON each, and answers each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from bench import processes

STOP_S = 10.0


class Program:
    """A running program. It ends when its standard input does."""

    def __init__(self, name: str, process: subprocess.Popen[str]) -> None:
        self.name = name
        self.process = process

    def begin(self, **order: Any) -> None:
        """Gives an order; `answer` waits for its end."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended: its errors are above")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{self.name}: {answer['error']}")
        return answer

    def ask(self, **order: Any) -> dict[str, Any]:
        self.begin(**order)
        return self.answer()


@contextmanager
def started(module: str, environment: Mapping[str, str] | None = None) -> Iterator[Program]:
    """Runs `python -m bench.feed.<module>` while the context is open."""
    process = subprocess.Popen(
        [sys.executable, "-m", f"bench.feed.{module}"],
        cwd=processes.ROOT,
        env=os.environ | (environment or {}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Program(module, process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
