"""The newest position, announced in Valkey: the relay publishes it, each process that has followers listens.

Best effort: whoever hears nothing looks at the newest position once a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

log = structlog.get_logger("crmgql")

CHANNEL = "crmgql:feed"
LOST = (RedisError, OSError)
ANSWER_S = 5.0
BLOCK_S = 10.0
AGAIN_S = 1.0


async def publish(valkey: Redis, position: int) -> None:
    """Neither raises nor waits for long: followers look for themselves."""
    try:
        async with asyncio.timeout(ANSWER_S):
            await valkey.publish(CHANNEL, str(position))
    except LOST as error:
        log.debug("position not announced", position=position, reason=str(error))


async def listen(valkey: Redis, heard: Callable[[int], None]) -> None:
    """Calls `heard` with each announced position, and with 0 when one may have been missed. Until cancelled."""
    await hear(valkey, CHANNEL, lambda data: heard(0 if data is None else int(data)))


async def hear(valkey: Redis, name: str, heard: Callable[[bytes | None], None]) -> None:
    """Calls `heard` with each message of a channel, and with None when one may have been missed. Until cancelled."""
    while True:
        try:
            await _hear(valkey, name, heard)
        except LOST as error:
            log.debug("a channel is not heard", channel=name, reason=str(error))
            await asyncio.sleep(AGAIN_S)


async def _hear(valkey: Redis, name: str, heard: Callable[[bytes | None], None]) -> None:
    async with valkey.pubsub(ignore_subscribe_messages=False) as channel:
        await channel.subscribe(name)
        while True:
            message = await channel.get_message(timeout=BLOCK_S)
            if message is None:
                async with asyncio.timeout(ANSWER_S):
                    await channel.ping()
            elif message["type"] == "subscribe":
                heard(None)
            elif message["type"] == "message":
                heard(message["data"])
