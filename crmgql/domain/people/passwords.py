"""Passwords: argon2id hashes, made and checked off the event loop.

Enters: what somebody typed. Leaves: a hash for `users.password_hash`, or whether one fits. Always holds: at most
`AT_ONCE` hashes are computed in a process, also when callers give up meanwhile (a thread can't be stopped, so a
semaphore that a cancelled caller hands back would let more in); a check costs one hash, whoever is asked for. At most
`MOST_WAITING` logins wait for that (`turn`): who would wait longer than anybody does is better told at once.
"""

from __future__ import annotations

import asyncio
import os
import unicodedata
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NewType, TypeVar

import argon2
from argon2 import exceptions

from crmgql.errors import BadUserInput, Throttled

Result = TypeVar("Result")
Hashed = NewType("Hashed", str)
"""What is kept of a password. Made outside of transactions: it takes 30 ms, and may wait for its turn."""

SHORTEST, LONGEST = 8, 1024
AT_ONCE = max(1, min(4, (os.cpu_count() or 2) - 1))
"""One core stays free: who answers requests must not wait for those who try passwords."""
MOST_WAITING = 40
"""At 30 ms each the last one waits for about a second."""

RETRY_AFTER_S = 2

# The OWASP Password Storage Cheat Sheet's parameters for argon2id: 19 MiB, two passes, one lane; about 30 ms.
_hasher = argon2.PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
_threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="passwords")
_inside = 0


@contextmanager
def turn() -> Iterator[None]:
    """Around what hashes for whoever asks. Raises `Throttled`, before anything is done, when too many are inside."""
    global _inside
    if _inside >= AT_ONCE + MOST_WAITING:
        raise Throttled(f"Too many log in just now: try again in {RETRY_AFTER_S} seconds.", retry_after_s=RETRY_AFTER_S)
    _inside += 1
    try:
        yield
    finally:
        _inside -= 1


def check(password: str, *, field: str = "password") -> bytes:
    """What is hashed of a password. Raises `BadUserInput` for one that is too short, too long or not text."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise BadUserInput(f"A password has {SHORTEST} to {LONGEST} characters.", field=field)
    try:
        return _known(password)
    except UnicodeEncodeError:
        raise BadUserInput("The password has characters that are not text.", field=field) from None


async def hash(password: str, *, field: str = "password") -> Hashed:
    """The hash to keep. Raises `BadUserInput` as `check` does."""
    return Hashed(await _off_loop(_hasher.hash, check(password, field=field)))


async def verify(stored: str | None, password: str) -> bool:
    """Whether the password is the one behind the hash. Never raises for what was typed.

    Without a hash to compare with (no such user, no password set, a hash of another scheme) it computes one all the
    same, so that the time taken does not tell who has an account.
    """
    try:
        known = _known(password[: LONGEST + 1])
    except UnicodeEncodeError:
        known = b""  # fits no hash, as `hash` takes neither this nor anything longer
    return await _off_loop(_fits, stored, known)


def is_outdated(stored: str) -> bool:
    """Whether the hash was made with other parameters than today's: make a new one while the password is at hand."""
    return _hasher.check_needs_rehash(stored)


def _fits(stored: str | None, password: bytes) -> bool:
    if stored is not None:
        try:
            return _hasher.verify(stored, password)
        except exceptions.VerifyMismatchError:
            return False
        except (exceptions.VerificationError, exceptions.InvalidHashError):
            pass
    _hasher.hash(password)
    return False


def _known(password: str) -> bytes:
    """One spelling of what looks the same: keyboards differ in how they compose an é (NIST SP 800-63B, 3.1.1.2)."""
    return unicodedata.normalize("NFKC", password).encode()


async def _off_loop(work: Callable[..., Result], *args: object) -> Result:
    return await asyncio.get_running_loop().run_in_executor(_threads, work, *args)
