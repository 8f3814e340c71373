"""The endpoint over a stub engine: what a healthy engine never does."""

from __future__ import annotations

from typing import Any

import httpx
import orjson
import pytest
from structlog.testing import capture_logs

from crmgql import logs
from crmgql.config import Settings
from crmgql.engine.errors import formatted, rejected
from crmgql.engine.operations import Request
from crmgql.errors import CrmError, Forbidden, ReadOnly, Throttled, TimedOut, Unauthenticated, Unavailable
from crmgql.http.graphql import Endpoint
from crmgql.http.metrics import Metrics
from crmgql.viewer import Viewer, system

RESPONSE_JSON = "application/graphql-response+json"


class Stub:
    """Both engine and identities: raises what it is given."""

    def __init__(self, *, answering: Exception | None = None, identifying: Exception | None = None) -> None:
        self.answering = answering
        self.identifying = identifying
        self.kind = "query"
        self.asked: list[str] = []

    async def answer(self, request: Request, viewer: object) -> bytes:
        request.kind = self.kind
        self.asked.append(request.query)
        if self.answering is not None:
            raise self.answering
        return b'{"data":null}'

    async def identify(self, authorization: str, clock: object) -> Viewer:
        if self.identifying is not None:
            raise self.identifying
        return system()


class Failing(Stub):
    """A mutation with this answer."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__()
        self.kind = "mutation"
        self.made = orjson.dumps(answer)

    async def answer(self, request: Request, viewer: object) -> bytes:
        request.kind = self.kind
        return self.made


async def post(stub: Stub, body: Any = None, **headers: str) -> httpx.Response:
    endpoint: Any = Endpoint(stub, stub, Settings(), Metrics())  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(endpoint), base_url="http://test") as client:
        return await client.post("/graphql", json=body or {"query": "{ a }"}, headers=headers)


def code(response: httpx.Response) -> str:
    return str(response.json()["errors"][0]["extensions"]["code"])


async def test_what_was_not_foreseen_is_logged_and_not_told() -> None:
    with capture_logs() as logged:
        response = await post(Stub(answering=ValueError("the password is tulip")), **{"x-request-id": "r1"})
    assert (response.status_code, code(response)) == (500, "INTERNAL_SERVER_ERROR")
    assert "tulip" not in response.text
    assert [(entry["event"], entry["exc_info"]) for entry in logged] == [("request failed", True)]


async def test_a_log_line_carries_the_request_id() -> None:
    seen: list[Any] = []

    class Noting(Stub):
        async def answer(self, request: Request, viewer: object) -> bytes:
            event: Any = {"event": "query"}
            for processor in logs._shared():
                event = processor(None, "info", event)
            seen.append(event["request_id"])
            return b"{}"

    await post(Noting(), **{"x-request-id": "r1"})
    assert seen == ["r1"]


async def test_a_get_that_changes_something_is_405_for_all_clients() -> None:
    for accept in ("application/json", RESPONSE_JSON):
        response = await post(Stub(answering=rejected(ReadOnly("no"))), accept=accept)
        assert (response.status_code, code(response)) == (405, "METHOD_NOT_ALLOWED")
        assert response.headers["allow"] == "POST"


@pytest.mark.parametrize(
    ("error", "plain", "newer"),
    [
        (Unauthenticated("no"), 401, 401),
        (Forbidden("no"), 200, 403),
        (Throttled("slowly", retry_after_s=7), 429, 429),
        (Unavailable("gone"), 503, 503),
        (TimedOut("long"), 503, 503),
    ],
)
async def test_statuses(error: CrmError, plain: int, newer: int) -> None:
    for accept, status in (("application/json", plain), (RESPONSE_JSON, newer)):
        response = await post(Stub(answering=rejected(error)), accept=accept)
        assert (response.status_code, code(response)) == (status, error.code)
        assert response.headers.get("www-authenticate") == ("Bearer" if status == 401 else None)
        assert response.headers.get("retry-after") == ("7" if status == 429 else None)


@pytest.mark.parametrize(
    ("error", "status"),
    [(Throttled("slowly", retry_after_s=7), 429), (Unavailable("gone"), 503), (Forbidden("no"), 200)],
)
async def test_statuses_of_an_operation_that_came_to_nothing(error: CrmError, status: int) -> None:
    errors = [formatted(error, ["login"])]
    for accept in ("application/json", RESPONSE_JSON):
        for data in (None, {"login": None}):
            response = await post(Failing({"data": data, "errors": errors}), accept=accept)
            assert (response.status_code, code(response)) == (status, error.code)
            assert response.headers.get("retry-after") == ("7" if status == 429 else None)


async def test_an_operation_that_came_to_something_is_200() -> None:
    errors = [formatted(Unavailable("gone"), ["b"])]
    for answer in (
        {"data": {"a": {"note": None}, "b": None}, "errors": errors},
        {"data": {"a": {"errors": [{"code": "X"}]}}},
    ):
        response = await post(Failing(answer))
        assert (response.status_code, response.json()) == (200, answer)


async def test_no_credentials_can_be_checked_without_a_database() -> None:
    stub = Stub(identifying=Unavailable("The database does not answer just now; try again."))
    response = await post(stub, authorization="Bearer x")
    assert (response.status_code, code(response), stub.asked) == (503, "SERVICE_UNAVAILABLE", [])


async def test_one_failure_does_not_fail_its_batch() -> None:
    with capture_logs():
        response = await post(Stub(answering=ValueError("tulip")), [{"query": "{ a }"}, 1], authorization="Bearer x")
    codes = [element["errors"][0]["extensions"]["code"] for element in response.json()]
    assert (response.status_code, codes) == (200, ["INTERNAL_SERVER_ERROR", "BAD_REQUEST"])


async def test_a_batch_runs_in_order() -> None:
    stub = Stub()
    await post(stub, [{"query": str(number)} for number in range(10)], authorization="Bearer x")
    assert stub.asked == [str(number) for number in range(10)]


async def test_a_message_with_a_lone_surrogate_can_be_sent() -> None:
    response = await post(Stub(answering=rejected(CrmError("\ud800"))))
    assert response.text.isascii()
    assert code(response) == "INTERNAL_SERVER_ERROR"


@pytest.mark.parametrize("parts", [[], [b'{"query"'], [b"x" * 10, b"y"]])
@pytest.mark.parametrize("gone", [True, False])
async def test_a_body_that_broke_off_is_400_if_somebody_is_there(parts: list[bytes], *, gone: bool) -> None:
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if gone:
            raise RuntimeError("the transport is closed")
        sent.append(message)

    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", b"application/json")], "query_string": b""}
    stub: Any = Stub()
    await Endpoint(stub, stub, Settings(), Metrics())(scope, receive, send)
    assert stub.asked == []
    if not gone:
        assert sent[0]["status"] == 400
        assert orjson.loads(sent[1]["body"])["errors"][0]["extensions"] == {"code": "BAD_REQUEST"}


def test_exports_have_an_address_of_their_own(client: httpx.Client, token: str) -> None:
    unknown = f"/exports/exp_{'0' * 32}"
    stranger = client.get(unknown, headers={"authorization": ""})
    assert stranger.status_code == 401
    missing = client.get(unknown, headers={"authorization": f"Bearer {token}"})
    assert (missing.status_code, missing.json()["errors"][0]["extensions"]["code"]) == (404, "NOT_FOUND")
    assert client.put(unknown).status_code == 405
