"""New tokens for event streams that run, in whichever process.

Enters: a stream's id and an `Authorization` header. Leaves: when the new token ends. A stream's id begins with the name of its
process, which listens to a channel of that name in Valkey, and puts its answer where the message says.
Always holds: a stream stays its user's (`sessions`); no token stands in Valkey for others to read, as it is sealed with a key made
of the installation's secret; who can't be answered is told to connect again, which is always possible.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import orjson
import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from redis.asyncio import Redis

from crmgql.errors import CrmError, Forbidden, StreamEnded, Throttled, Unauthenticated, Unavailable
from crmgql.events import announcements
from crmgql.http import sessions
from crmgql.http.open_streams import OVER, OpenStreams

log = structlog.get_logger("crmgql")

CHANNEL = "crmgql:streams"
PURPOSE = b"crmgql stream tokens 1"
KEY_BYTES, NONCE_BYTES = 32, 12
ANSWER_S, PATIENCE_S = 3.0, 2
KEPT_S = 10
"""How long an answer waits in Valkey for who may have gone."""

ERRORS: dict[str, type[CrmError]] = {each.code: each for each in (Unauthenticated, Forbidden, StreamEnded)}


class Renewals:
    """Those of one process. `run` it beside the requests. `most`: tokens of a user on their way to other processes."""

    def __init__(self, valkey: Redis, streams: OpenStreams, secret: str, *, most: int) -> None:
        self._valkey = valkey
        self._streams = streams
        self._key = AESGCM(HKDF(SHA256(), KEY_BYTES, None, PURPOSE).derive(secret.encode()))
        self._most = most
        self._under_way: Counter[UUID] = Counter()
        self._answering: set[asyncio.Task[None]] = set()

    async def renew(self, id: str, authorization: str, user_id: UUID) -> str | None:
        """When the new token, which is this user's, ends, as text; None: never. Raises `Unauthenticated`, `Forbidden`,
        `StreamEnded`, `Throttled`, `Unavailable`."""
        process, _, _ = id.partition("-")
        if process == self._streams.name:
            return await self._here(id, authorization)
        with self._turn(user_id):
            answer = await self._elsewhere(process, id, authorization)
        if "code" in answer:
            raise ERRORS.get(answer["code"], Unavailable)(answer["message"])
        return answer["ends"]  # type: ignore[no-any-return]

    async def run(self) -> None:
        """Takes tokens for the streams of this process. Until cancelled."""
        await announcements.hear(self._valkey, f"{CHANNEL}:{self._streams.name}", self._heard)

    @contextmanager
    def _turn(self, user_id: UUID) -> Iterator[None]:
        if self._under_way[user_id] >= self._most:
            raise Throttled(f"{self._most} tokens of yours are on their way already.", retry_after_s=1)
        self._under_way[user_id] += 1
        try:
            yield
        finally:
            self._under_way[user_id] -= 1
            if not self._under_way[user_id]:
                del self._under_way[user_id]

    async def _here(self, id: str, authorization: str) -> str | None:
        stream = self._streams.find(id)
        if stream is None:
            raise StreamEnded(OVER)
        return sessions.text(await stream.renew(authorization))

    async def _elsewhere(self, process: str, id: str, authorization: str) -> dict[str, Any]:
        reply = f"{CHANNEL}:answers:{secrets.token_hex(16)}"
        sealed = self._sealed(id, {"authorization": authorization, "reply": reply})
        try:
            async with asyncio.timeout(ANSWER_S):
                if not await self._valkey.publish(f"{CHANNEL}:{process}", sealed):
                    raise StreamEnded(OVER)
                found: Any = await self._valkey.blpop([reply], timeout=PATIENCE_S)  # type: ignore[misc]
                if found is None:
                    raise TimeoutError("it listens, and says nothing")
        except announcements.LOST as error:  # TimeoutError is one
            log.info("a stream's process did not answer", reason=str(error))
            raise Unavailable(
                "The stream can't be reached: connect again with the new token and Last-Event-ID."
            ) from None
        _, text = found
        return orjson.loads(text)  # type: ignore[no-any-return]

    def _heard(self, data: bytes | None) -> None:
        if data is not None:
            task = asyncio.create_task(self._answer(data))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

    async def _answer(self, data: bytes) -> None:
        try:
            id, given = self._opened(data)
        except (InvalidTag, ValueError):
            log.warning("a token for a stream came sealed with another CRMGQL_SECRET_KEY")
            return
        try:
            answer: dict[str, Any] = {"ends": await self._here(id, given["authorization"])}
        except CrmError as error:
            answer = {"code": error.code, "message": error.message}
        try:
            async with asyncio.timeout(ANSWER_S), self._valkey.pipeline(transaction=False) as pipeline:
                pipeline.rpush(given["reply"], orjson.dumps(answer))
                pipeline.expire(given["reply"], KEPT_S)
                await pipeline.execute()
        except announcements.LOST as error:
            log.info("who brought a token could not be answered", reason=str(error))

    def _sealed(self, id: str, given: dict[str, str]) -> bytes:
        nonce, about = os.urandom(NONCE_BYTES), id.encode()
        return about + b" " + nonce + self._key.encrypt(nonce, orjson.dumps(given), about)

    def _opened(self, data: bytes) -> tuple[str, dict[str, str]]:
        """Raises `InvalidTag`, `ValueError`."""
        about, _, sealed = data.partition(b" ")
        nonce, rest = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        return about.decode("ascii"), orjson.loads(self._key.decrypt(nonce, rest, about))
