"""Logging in and out over HTTP: what wiring must get right."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import httpx
import pytest_asyncio

from crmgql.domain.people import passwords

LOGIN = "mutation($input: LoginInput!) { login(input: $input) { accessToken refreshToken userErrors { code } } }"
REFRESH = "mutation($input: RefreshInput!) { refresh(input: $input) { refreshToken userErrors { code } } }"
LOGOUT = "mutation($input: LogoutInput!) { logout(input: $input) { userErrors { code } } }"
ME = {"query": "{ me { name } }"}


def sent(client: httpx.Client, query: str, **given: str) -> dict[str, Any]:
    response = client.post("/graphql", json={"query": query, "variables": {"input": given}})
    assert response.status_code == 200, response.text
    (payload,) = response.json()["data"].values()
    return dict(payload)


@pytest_asyncio.fixture(scope="module")
async def bo(http_database_url: str) -> None:
    """A seller with a password."""
    connection = await asyncpg.connect(http_database_url)
    await connection.execute(
        "INSERT INTO users (name, email, roles, password_hash) VALUES ('Bo', 'bo@example.com', '{SELLER}', $1)",
        await passwords.hash("correct horse battery"),
    )
    await connection.close()


def test_in_and_out(client: httpx.Client, bo: None) -> None:
    assert sent(client, LOGIN, email="bo@example.com", password="wrong")["userErrors"] == [{"code": "UNAUTHENTICATED"}]
    tokens = sent(client, LOGIN, email="bo@example.com", password="correct horse battery")
    headers = {"authorization": f"Bearer {tokens['accessToken']}"}
    assert client.post("/graphql", json=ME, headers=headers).json()["data"] == {"me": {"name": "Bo"}}
    assert sent(client, LOGOUT, refreshToken=tokens["refreshToken"])["userErrors"] == []
    refused = client.post("/graphql", json=ME, headers=headers)
    assert (refused.status_code, refused.json()["errors"][0]["extensions"]["code"]) == (401, "UNAUTHENTICATED")


async def test_failed_logins_are_counted_by_the_client_that_a_proxy_names(
    client: httpx.Client, http_database_url: str
) -> None:
    address = "198.51.100.7"
    connection = await asyncpg.connect(http_database_url)
    client.headers["x-forwarded-for"] = f"6.6.6.6, {address}"
    variables = {"input": {"email": "nobody@example.com", "password": "x"}}
    await asyncio.to_thread(client.post, "/graphql", json={"query": LOGIN, "variables": variables})
    sql = "UPDATE login_attempts SET failures = 1000 WHERE key = $1"
    changed = await connection.execute(sql, f"remote {address}")
    assert changed == "UPDATE 1"
    response = await asyncio.to_thread(client.post, "/graphql", json={"query": LOGIN, "variables": variables})
    assert (response.status_code, response.json()["errors"][0]["extensions"]["code"]) == (429, "THROTTLED")
    assert 0 < int(response.headers["retry-after"]) <= 900
    await connection.close()


def test_a_lost_answer_costs_the_same_client_nothing(client: httpx.Client, bo: None) -> None:
    client.headers["x-forwarded-for"] = "203.0.113.9"
    token = sent(client, LOGIN, email="bo@example.com", password="correct horse battery")["refreshToken"]
    query = {"query": REFRESH, "variables": {"input": {"refreshToken": token}}}
    first = sent(client, REFRESH, refreshToken=token)["refreshToken"]
    (batched,) = client.post("/graphql", json=[query]).json()
    assert batched["data"]["refresh"]["refreshToken"] not in (None, first)
    client.headers["user-agent"] = "Somebody else's"
    assert sent(client, REFRESH, refreshToken=token)["userErrors"] == [{"code": "UNAUTHENTICATED"}]
