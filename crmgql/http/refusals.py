"""An HTTP request that is refused before it is a GraphQL request, a form or anything else."""

from __future__ import annotations

from typing import Any

Headers = tuple[tuple[bytes, bytes], ...]


class Refused(Exception):
    """An HTTP request that is not answered: a status, a code for programs, a message for people."""

    def __init__(self, status: int, code: str, message: str, headers: Headers = ()) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers

    def error(self) -> dict[str, Any]:
        return {"message": self.message, "extensions": {"code": self.code}}


def bad(message: str) -> Refused:
    return Refused(400, "BAD_REQUEST", message)
