"""GraphQL over HTTP with httpx: one answer, or the answers of a subscription as server-sent events."""

import json
from collections.abc import Iterator
from typing import Any

import httpx

SILENT_S = 40  # the server says something every 15 s: a connection that is silent for so long is dead


class Refused(Exception):
    """The server answered an error."""

    def __init__(self, error: dict[str, Any]) -> None:
        self.code = error.get("extensions", {}).get("code")
        super().__init__(f"{self.code}: {error['message']}")


class Client:
    """Raises `Refused`, and httpx's errors when the server can't be reached."""

    def __init__(self, url: str, key: str) -> None:
        headers = {"authorization": f"Bearer {key}"}
        self.http = httpx.Client(base_url=url, headers=headers, timeout=httpx.Timeout(10, read=SILENT_S))

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        return _answer(self.http.post("/graphql", json={"query": query, "variables": variables}))

    def follow(self, query: str, **variables: Any) -> Iterator[tuple[str, dict[str, Any] | None]]:
        """Answers with their cursors, until the connection breaks; None is a heartbeat: nothing more came up to its cursor."""
        body = {"query": query, "variables": variables}
        with self.http.stream("POST", "/graphql", json=body, headers={"accept": "text/event-stream"}) as response:
            if response.status_code != 200:
                response.read()
                _answer(response)
            fields: dict[bytes, bytes] = {}
            for line in _lines(response):
                if line:
                    name, _, value = line.partition(b":")
                    fields[name] = value.strip()
                    continue
                if fields.get(b"event") == b"next":
                    yield fields.get(b"id", b"").decode(), _data(json.loads(fields[b"data"]))
                elif b"id" in fields:
                    yield fields[b"id"].decode(), None
                fields = {}
        raise httpx.RemoteProtocolError("the server ended the stream")


def _answer(response: httpx.Response) -> dict[str, Any]:
    if "json" not in response.headers.get("content-type", ""):
        response.raise_for_status()
    return _data(response.json())


def _data(body: dict[str, Any]) -> dict[str, Any]:
    if body.get("errors"):
        raise Refused(body["errors"][0])
    return body["data"]


def _lines(response: httpx.Response) -> Iterator[bytes]:
    """They end with \\n and nothing else. `iter_lines` would end them at every separator of Unicode, in the middle of a note."""
    rest = b""
    for piece in response.iter_bytes():
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole
