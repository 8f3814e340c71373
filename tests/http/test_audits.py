"""The audits of the GraphQL over HTTP reference implementation (npm: graphql-http), with nobody logged in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.http import packages

AUDITS = 61
PACKAGES = ("graphql-http@1.23.1", "graphql@16")
RUN = """
const { auditServer } = require('graphql-http');
auditServer({ url: process.argv[1] }).then(async (found) => {
  const plain = found.map(({ id, name, status, reason }) => ({ id, name, status, reason }));
  console.log(JSON.stringify(plain));
});
"""


@pytest.fixture(scope="session")
def installed() -> Path:
    return packages.installed("graphql-http-1.23.1", PACKAGES)


def test_every_audit_passes(served: Any, installed: Path) -> None:
    audits = packages.run(installed, "-e", RUN, f"{served.url}/graphql")
    assert [audit for audit in audits if audit["status"] != "ok"] == []
    assert len(audits) == AUDITS
