"""GraphQL over HTTP, asked over real sockets."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Iterator
from typing import Any

import brotli
import httpx
import pytest

MAX_BODY = 20_000
RESPONSE_JSON = "application/graphql-response+json"
TYPENAME = {"query": "{ __typename }"}
EVERY_TYPE = {"query": "{ __schema { types { name fields { name } } } }"}
JSON_HEADERS = {"content-type": "application/json"}
MUTATION = "mutation { __typename }"


def errors_of(response: httpx.Response, code: str) -> list[dict[str, Any]]:
    """The errors of an answer that must be nothing but well-formed errors, the first with this code."""
    assert response.headers["content-type"] in ("application/json; charset=utf-8", f"{RESPONSE_JSON}; charset=utf-8")
    assert set(response.json()) == {"errors"}
    errors: list[dict[str, Any]] = response.json()["errors"]
    assert all(isinstance(error["message"], str) for error in errors)
    assert errors[0]["extensions"]["code"] == code
    assert not any(word in response.text for word in ("Traceback", "Exception", 'File "'))
    return errors


def test_answers_without_a_token_what_needs_no_data(client: httpx.Client) -> None:
    response = client.post("/graphql", json=TYPENAME)
    assert (response.status_code, response.json()) == (200, {"data": {"__typename": "Query"}})
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"


def test_answers_with_a_token(client: httpx.Client, token: str) -> None:
    response = client.post("/graphql", json={"query": "{ me { name } }"}, headers={"authorization": f"Bearer {token}"})
    assert (response.status_code, response.json()["data"]) == (200, {"me": {"name": "Ada"}})


def test_data_without_a_token_is_401_whatever_is_accepted(client: httpx.Client) -> None:
    for accept in ("application/json", RESPONSE_JSON):
        response = client.post("/graphql", json={"query": "{ me { name } }"}, headers={"accept": accept})
        assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
        errors_of(response, "UNAUTHENTICATED")


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer x.y.z", "Bearer crm_x", "Basic YTpi", "Bearer \xe9"])
def test_bad_credentials_are_401_whatever_is_asked(client: httpx.Client, header: str) -> None:
    given = [(b"authorization", header.encode("latin-1"))]
    response = client.post("/graphql", json=TYPENAME, headers=given)
    assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
    errors_of(response, "UNAUTHENTICATED")


def test_two_authorization_headers_are_refused(client: httpx.Client, token: str) -> None:
    given = [("authorization", f"Bearer {token}"), ("authorization", "Bearer other")]
    assert client.post("/graphql", json=TYPENAME, headers=given).status_code == 401


REQUEST_ERRORS = [
    ({"query": "{"}, "GRAPHQL_PARSE_FAILED"),
    ({"query": ""}, "GRAPHQL_PARSE_FAILED"),
    ({"query": "{ __nonsense }"}, "GRAPHQL_VALIDATION_FAILED"),
    ({"query": "query($a: String!) { __type(name: $a) { name } }", "variables": {"a": None}}, "BAD_USER_INPUT"),
    ({"query": "query A { __typename } query B { __typename }"}, "OPERATION_RESOLUTION_FAILURE"),
    ({"query": "query A { __typename }", "operationName": "B"}, "OPERATION_RESOLUTION_FAILURE"),
    ({"query": "{ a " * 20 + "}" * 20}, "QUERY_TOO_COMPLEX"),
]


@pytest.mark.parametrize(("request_", "code"), REQUEST_ERRORS)
def test_request_errors_have_the_status_of_the_accepted_type(
    client: httpx.Client, token: str, request_: dict[str, Any], code: str
) -> None:
    for accept, status in ((RESPONSE_JSON, 400), ("application/json", 200)):
        response = client.post(
            "/graphql", json=request_, headers={"accept": accept, "authorization": f"Bearer {token}"}
        )
        assert response.status_code == status
        errors_of(response, code)


SHAPES = [
    b"", b"{", b"null", b'"text"', b"1", b"[", b"\xff\xfe", b'{"query": "\xff"}', b'\xef\xbb\xbf{"query": "{ __typename }"}',
    b"{}", b'{"query": null}', b'{"query": 1}', b'{"query": ["{ __typename }"]}', b'{"query": {"a": 1}}',
    b'{"query": "{ __typename }", "variables": []}', b'{"query": "{ __typename }", "variables": "{}"}',
    b'{"query": "{ __typename }", "operationName": 1}', b'{"query": "{ __typename }", "operationName": {}}',
    b'{"query": "{ __typename }", "extensions": []}', b'{"query": "{ __typename }", "extensions": "a"}',
    b'{"query": "{ __typename \\u0000 }"}', b'{"query": "{ __typename } # \\ud800"}', b'{"query": "{ __typename } # \\udc00"}',
    b'{"query": "{ __typename }", "variables": {"a": NaN}}', b'{"query": "{ __typename }", "variables": {"a": 1e999}}',
    b"[" * 900, b'{"query": "{ __typename }", "variables": {"a": ' + b"[" * 500 + b"]" * 500 + b"}}",
    b'{"query": "{ __typename }", "variables": ' + b'{"a":' * 500 + b"1" + b"}" * 500 + b"}",
]  # fmt: skip


@pytest.mark.parametrize("body", SHAPES, ids=lambda body: repr(body[:50]))
def test_what_is_no_request_is_400(client: httpx.Client, body: bytes) -> None:
    for accept in ("application/json", RESPONSE_JSON):
        response = client.post("/graphql", content=body, headers={**JSON_HEADERS, "accept": accept})
        assert response.status_code == 400
        errors_of(response, "BAD_REQUEST")


def test_unknown_members_and_nulls_are_no_mistake(client: httpx.Client) -> None:
    body = {**TYPENAME, "variables": None, "operationName": None, "extensions": None, "id": 1}
    assert client.post("/graphql", json=body).json() == {"data": {"__typename": "Query"}}
    assert client.post("/graphql", json={**TYPENAME, "operationName": ""}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "multipart/form-data; boundary=x"},
        {"content-type": "application/graphql"},
        {"content-type": "application/jsonp"},
        {"content-type": "application/json; charset=utf-16"},
        {"content-type": "application/json", "content-encoding": "gzip"},
    ],
)
def test_other_content_types_are_415(client: httpx.Client, headers: dict[str, str]) -> None:
    response = client.post("/graphql", content=json.dumps(TYPENAME), headers=headers)
    assert response.status_code == 415
    errors_of(response, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize(
    "kind", ["application/json; charset=UTF-8", 'Application/JSON;charset="utf-8"', "application/json;"]
)
def test_spellings_of_json(client: httpx.Client, kind: str) -> None:
    response = client.post("/graphql", content=json.dumps(TYPENAME), headers={"content-type": kind})
    assert response.status_code == 200


def test_accept_that_fits_nothing_is_406(client: httpx.Client) -> None:
    for accept in ("text/html", "application/json;q=0", "image/*"):
        response = client.post("/graphql", json=TYPENAME, headers={"accept": accept})
        assert response.status_code == 406
        errors_of(response, "NOT_ACCEPTABLE")


@pytest.mark.parametrize("method", ["HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_other_methods_are_405(client: httpx.Client, method: str) -> None:
    response = client.request(method, "/graphql")
    assert (response.status_code, response.headers["allow"]) == (405, "GET, POST")
    if method != "HEAD":
        errors_of(response, "METHOD_NOT_ALLOWED")


def test_unknown_paths_are_404_in_json(client: httpx.Client) -> None:
    for path in ("/nothing", "/graphql/", "/graphql/x"):
        response = client.get(path)
        assert response.status_code == 404
        assert response.json()["errors"][0]["extensions"]["code"] == "NOT_FOUND"
    response = client.post("/healthz")
    assert (response.status_code, response.json()["errors"][0]["extensions"]["code"]) == (405, "METHOD_NOT_ALLOWED")


def test_home_leads_to_the_api(client: httpx.Client) -> None:
    assert client.get("/").headers["location"] == "/graphql"


def test_get_answers_queries(client: httpx.Client) -> None:
    query = "query Type($name: String!) { __type(name: $name) { name } } query Other { __typename }"
    parameters = {"query": query, "operationName": "Type", "variables": '{"name": "Money"}', "extensions": "{}"}
    response = client.get("/graphql", params=parameters)
    assert (response.status_code, response.json()["data"]) == (200, {"__type": {"name": "Money"}})
    assert client.get("/graphql", params={**TYPENAME, "operationName": "", "variables": ""}).status_code == 200


def test_a_mutation_over_get_is_405(client: httpx.Client, token: str) -> None:
    several = {"query": f"query A {{ __typename }} {MUTATION.replace('mutation', 'mutation B')}", "operationName": "B"}
    for parameters in ({"query": MUTATION}, several):
        for accept in ("application/json", RESPONSE_JSON):
            headers = {"accept": accept, "authorization": f"Bearer {token}"}
            response = client.get("/graphql", params=parameters, headers=headers)
            assert (response.status_code, response.headers["allow"]) == (405, "POST")
            errors_of(response, "METHOD_NOT_ALLOWED")


@pytest.mark.parametrize(
    "query_string",
    [
        "", "query", "query=%ff", "query=%ed%a0%80", "query=%00", "query={a}&query={b}", "a=1&" * 100,
        "query={__typename}&variables=1", "query={__typename}&variables={", "query={__typename}&extensions=[]",
    ],
)  # fmt: skip
def test_a_get_that_is_no_request(client: httpx.Client, query_string: str) -> None:
    response = client.get(f"/graphql?{query_string}")
    assert response.status_code in (200, 400)
    errors_of(response, "BAD_REQUEST" if response.status_code == 400 else "GRAPHQL_PARSE_FAILED")
    assert response.status_code == 400 or query_string == "query"


def test_a_batch_is_answered_in_order_each_for_itself(client: httpx.Client, token: str) -> None:
    batch = [TYPENAME, {"query": "{ nonsense }"}, "no request"]
    headers = {"accept": RESPONSE_JSON, "authorization": f"Bearer {token}"}
    response = client.post("/graphql", json=batch, headers=headers)
    assert response.status_code == 200
    first, second, third = response.json()
    assert first["data"] == {"__typename": "Query"}
    assert second["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
    assert third["errors"][0]["extensions"]["code"] == "BAD_REQUEST"


def test_batches_are_bounded(client: httpx.Client, token: str) -> None:
    client.headers["authorization"] = f"Bearer {token}"
    assert len(client.post("/graphql", json=[TYPENAME] * 3).json()) == 3
    too_many = client.post("/graphql", json=[TYPENAME] * 4)
    assert too_many.status_code == 400
    errors_of(too_many, "BATCH_TOO_LARGE")
    empty = client.post("/graphql", json=[])
    assert empty.status_code == 400
    errors_of(empty, "BAD_REQUEST")


def padded(size: int) -> bytes:
    body = json.dumps(TYPENAME).encode()
    return body + b" " * (size - len(body))


def test_bodies_are_bounded(client: httpx.Client) -> None:
    assert client.post("/graphql", content=padded(MAX_BODY), headers=JSON_HEADERS).status_code == 200
    response = client.post("/graphql", content=padded(MAX_BODY + 1), headers=JSON_HEADERS)
    assert response.status_code == 413
    errors_of(response, "PAYLOAD_TOO_LARGE")


def test_chunked_bodies_are_bounded(client: httpx.Client) -> None:
    def chunks(size: int) -> Iterator[bytes]:
        body = padded(size)
        yield from (body[start : start + 1000] for start in range(0, len(body), 1000))

    assert client.post("/graphql", content=chunks(MAX_BODY), headers=JSON_HEADERS).status_code == 200
    response = client.post("/graphql", content=chunks(MAX_BODY + 1), headers=JSON_HEADERS)
    assert response.status_code == 413
    errors_of(response, "PAYLOAD_TOO_LARGE")


HEAD = b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def test_a_body_without_end_is_refused_before_its_end(served: Any) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as raw:
        raw.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"5dc0\r\n" + b" " * 24_000 + b"\r\n")
        assert raw.recv(1000).startswith(b"HTTP/1.1 413 ")
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as raw:
        raw.sendall(HEAD + b"Content-Length: 99999999999\r\n\r\n")
        assert raw.recv(1000).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    "rest",
    [
        b"Transfer-Encoding: chunked\r\n\r\n" + b"nonsense\r\n{}\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n" + b'5\r\n{"query": "{ a }"}\r\n0\r\n\r\n',
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + b'{"query": "{ __typename }"}',
    ],
)
def test_a_malformed_body_is_400_in_json(served: Any, rest: bytes) -> None:
    answer = b""
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as raw:
        raw.sendall(HEAD + b"Connection: close\r\n" + rest)
        while b"}]}" not in answer and (part := raw.recv(1000)):
            answer += part
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["errors"][0]["extensions"]["code"] == "BAD_REQUEST"


def test_a_client_that_leaves_is_no_error(served: Any, client: httpx.Client) -> None:
    before = len(served.log)
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", served.port), timeout=60) as raw:
            raw.sendall(HEAD + b"Content-Length: 100\r\n\r\n" + b'{"query": ')
    assert client.post("/graphql", json=TYPENAME).status_code == 200
    assert "error" not in served.log[before:]


def test_request_ids(client: httpx.Client) -> None:
    given = client.post("/graphql", json=TYPENAME, headers={"x-request-id": "web-1.2:3_4"})
    assert given.headers["x-request-id"] == "web-1.2:3_4"
    made = client.post("/graphql", json=TYPENAME, headers={"x-request-id": "a b\tc"}).headers["x-request-id"]
    assert len(made) == 32
    assert client.put("/graphql").headers["x-request-id"] != made


def raw_body(client: httpx.Client, accept_encoding: str, body: dict[str, str]) -> tuple[httpx.Headers, bytes]:
    headers = {"accept-encoding": accept_encoding}
    with client.stream("POST", "/graphql", json=body, headers=headers) as response:
        return response.headers, b"".join(response.iter_raw())


def test_long_answers_are_compressed_as_accepted(client: httpx.Client) -> None:
    _, plain = raw_body(client, "identity", EVERY_TYPE)
    for accepted, expected, unpack in (
        ("gzip, deflate, br", "br", brotli.decompress),
        ("gzip", "gzip", gzip.decompress),
        ("br;q=0, gzip;q=0.5", "gzip", gzip.decompress),
        ("gzip;q=1, br;q=0.1", "gzip", gzip.decompress),
        ("*", "br", brotli.decompress),
    ):
        headers, packed = raw_body(client, accepted, EVERY_TYPE)
        assert headers["content-encoding"] == expected
        assert len(packed) == int(headers["content-length"]) < len(plain) / 2
        assert unpack(packed) == plain
        assert "Accept-Encoding" in headers["vary"]


def test_other_answers_are_not_compressed(client: httpx.Client) -> None:
    for accepted in ("br;q=0, gzip;q=0", "identity", "zstd", "identity;q=1, *;q=0", "identity, br;q=0.1", ""):
        assert "content-encoding" not in raw_body(client, accepted, EVERY_TYPE)[0]
    headers, body = raw_body(client, "br", TYPENAME)
    assert "content-encoding" not in headers
    assert "Accept-Encoding" in headers["vary"]
    assert body == b'{"data":{"__typename":"Query"}}'


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


def test_a_browser_gets_the_query_page(client: httpx.Client) -> None:
    page = client.get("/graphql", headers={"accept": BROWSER})
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "graphiql" in page.text
    asked = client.get("/graphql", params=TYPENAME, headers={"accept": BROWSER})
    assert asked.json() == {"data": {"__typename": "Query"}}


def test_the_query_page_can_be_switched_off(otherwise: Any) -> None:
    for accept, status in ((BROWSER, 400), ("text/html", 406)):
        response = httpx.get(f"{otherwise.url}/graphql", headers={"accept": accept}, verify=False)
        assert response.status_code == status
