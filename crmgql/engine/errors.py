"""Errors as GraphQL wants them: a message for people, a code in the extensions, never an exception's own text."""

from __future__ import annotations

from typing import Any

from graphql import GraphQLError

from crmgql.errors import CrmError, Throttled
from crmgql.events.cursors import CursorLost

STATUS = {
    "UNAUTHENTICATED": 401,
    "FORBIDDEN": 403,
    "PROVIDER_UNKNOWN": 404,
    "METHOD_NOT_ALLOWED": 405,
    "PAYLOAD_TOO_LARGE": 413,
    "STREAM_ENDED": 410,
    "THROTTLED": 429,
    "SERVICE_UNAVAILABLE": 503,
    "TIMEOUT": 503,
    "INTERNAL_SERVER_ERROR": 500,
}
"""HTTP status of a request error by its code; 400 for all others."""


class Rejected(Exception):
    """A request that gets errors and no data. `errors` are ready for JSON."""

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        super().__init__(errors[0]["message"])
        self.errors = errors

    @property
    def status(self) -> int:
        return STATUS.get(self.errors[0]["extensions"]["code"], 400)


def formatted(error: CrmError, path: list[str | int] | None = None) -> dict[str, Any]:
    extensions: dict[str, Any] = {"code": error.code}
    if error.field is not None:
        extensions["field"] = error.field
    if isinstance(error, Throttled):
        extensions["retryAfterSeconds"] = error.retry_after_s
    if isinstance(error, CursorLost):
        extensions["snapshotCursor"] = error.snapshot_cursor
    made: dict[str, Any] = {"message": error.message, "extensions": extensions}
    if path is not None:
        made["path"] = path
    return made


def rejected(error: CrmError) -> Rejected:
    return Rejected([formatted(error)])


def internal(path: list[str | int] | None = None) -> dict[str, Any]:
    """What a client learns of a mistake of ours."""
    made: dict[str, Any] = {
        "message": "Something went wrong here; it was logged.",
        "extensions": {"code": "INTERNAL_SERVER_ERROR"},
    }
    return made if path is None else {**made, "path": path}


def from_graphql(errors: list[GraphQLError], code: str) -> Rejected:
    """Parse, validation and coercion errors; their texts are written for clients."""
    listed = []
    for error in errors:
        made: dict[str, Any] = {"message": error.message, "extensions": {"code": code}}
        if error.locations:
            made["locations"] = [{"line": place.line, "column": place.column} for place in error.locations]
        listed.append(made)
    return Rejected(listed)
