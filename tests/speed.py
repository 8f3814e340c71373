"""How fast this machine is now: a test that limits a time lets it be as much longer as everything takes."""

from __future__ import annotations

import subprocess
import sys
import time

USUAL_S = 0.1


def slowness() -> float:
    """How many times longer than usual, on two idle cores of 2026, it takes to start a Python; at least 1, at most 10."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-I", "-c", "import asyncio, json"], check=True)
    return min(max(1.0, (time.perf_counter() - started) / USUAL_S), 10.0)
