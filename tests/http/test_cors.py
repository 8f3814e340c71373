"""Pages of other origins."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from crmgql.errors import SetupError
from crmgql.http import cors

ORIGIN = "https://app.example.com"
PREFLIGHT = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,x-request-id",
}


def test_a_preflight_of_an_allowed_origin(client: httpx.Client) -> None:
    response = client.options("/graphql", headers={"origin": ORIGIN, **PREFLIGHT})
    assert response.status_code == 204
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert "POST" in response.headers["access-control-allow-methods"]
    assert response.headers["access-control-allow-headers"] == PREFLIGHT["access-control-request-headers"]
    assert "Origin" in response.headers["vary"]
    assert "access-control-allow-credentials" not in response.headers


@pytest.mark.parametrize("origin", ["https://evil.example.com", "http://app.example.com", f"{ORIGIN}.evil.com", "null"])
def test_other_origins_are_refused(client: httpx.Client, origin: str) -> None:
    response = client.options("/graphql", headers={"origin": origin, **PREFLIGHT})
    assert (response.status_code, response.json()["errors"][0]["extensions"]["code"]) == (403, "FORBIDDEN")
    answered = client.post("/graphql", json={"query": "{ __typename }"}, headers={"origin": origin})
    assert answered.status_code == 200  # the browser keeps it from the page
    for each in (response, answered):
        assert "access-control-allow-origin" not in each.headers
        assert "Origin" in each.headers["vary"]


def test_answers_and_errors_can_be_read_by_the_page(client: httpx.Client) -> None:
    for body, status in (({"query": "{ __typename }"}, 200), ({"query": 1}, 400), ({"query": "{ me { id } }"}, 401)):
        response = client.post("/graphql", json=body, headers={"origin": ORIGIN})
        assert (response.status_code, response.headers["access-control-allow-origin"]) == (status, ORIGIN)
        assert "x-request-id" in response.headers["access-control-expose-headers"]
        assert {"Origin", "Accept-Encoding"} <= {part.strip() for part in response.headers["vary"].split(",")}


def test_any_origin(otherwise: Any) -> None:
    headers = {"origin": "https://a.example", **PREFLIGHT}
    response = httpx.options(f"{otherwise.url}/graphql", headers=headers, verify=False)
    assert (response.status_code, response.headers["access-control-allow-origin"]) == (204, "*")


def test_what_a_token_does_not_guard_is_for_no_page(client: httpx.Client, otherwise: Any) -> None:
    for url in (str(client.base_url), otherwise.url):
        response = httpx.get(f"{url}/metrics", headers={"origin": ORIGIN}, verify=False)
        assert response.status_code == 200
        assert "access-control-allow-origin" not in response.headers


def test_what_no_browser_sends_is_a_mistake_of_the_setting() -> None:
    assert cors.origins(" https://A.example/ ,http://localhost:3000,") == {"https://a.example", "http://localhost:3000"}
    for setting in ("app.example.com", "https://a.example/path", "https://"):
        with pytest.raises(SetupError, match="CRMGQL_CORS_ORIGINS"):
            cors.origins(setting)


def test_header_names_that_are_none_are_not_echoed(client: httpx.Client) -> None:
    asked = {**PREFLIGHT, "access-control-request-headers": "a<b>"}
    response = client.options("/graphql", headers={"origin": ORIGIN, **asked})
    assert response.headers["access-control-allow-headers"] == "authorization, content-type"
