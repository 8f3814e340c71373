"""Real client libraries, as people use them: over WebSockets and server-sent events."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from gql import Client, gql
from gql.transport.exceptions import TransportQueryError
from gql.transport.websockets import WebsocketsTransport

from tests.http import packages
from tests.http.conftest import LoggedIn, Serve, Served

PACKAGES = (
    "graphql@16.15.0",
    "graphql-ws@6.4.2",
    "graphql-sse@2.6.1",
    "@urql/core@6.0.3",
    "@apollo/client@4.3.8",
    "relay-runtime@21.0.1",
    "react@19.3.1",
    "rxjs@7.8.2",
)
SCRIPT = Path(__file__).with_name("clients.mjs")


@pytest.fixture(scope="module")
def installed() -> Path:
    return packages.installed("clients-1", PACKAGES)


@pytest.fixture(scope="module")
def server(serve: Serve) -> Iterator[Served]:
    with serve(module="tests.http.scripted") as started:
        yield started


def test_clients_of_javascript(server: Served, installed: Path, bo: LoggedIn) -> None:
    found = packages.run(installed, str(SCRIPT), f"{server.url}/graphql", bo.token())
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
