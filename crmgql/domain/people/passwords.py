"""Passwords: argon2id hashes, made and checked outside the event loop.

Enters: what somebody typed. Leaves: a hash for `users.password_hash`, or whether one fits. Always holds: a process computes
at most `AT_ONCE` hashes at a time, even if callers are cancelled (a thread can't be stopped, so a semaphore that a cancelled
caller releases would admit more); each check computes one hash, whether or not the user exists. At most `MOST_WAITING`
logins wait for that (`turn`); more are refused at once.
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
"""A password's hash, as stored. Computed outside of transactions: it takes 30 ms, and may have to wait."""

SHORTEST, LONGEST = 8, 1024
AT_ONCE = max(1, min(4, (os.cpu_count() or 2) - 1))
"""One core stays free, so that requests do not wait for those who try passwords."""
MOST_WAITING = 40
"""At 30 ms each, the last one waits for about a second."""

RETRY_AFTER_S = 2

# The OWASP Password Storage Cheat Sheet's parameters for argon2id: 19 MiB, two passes, one lane; about 30 ms.
_hasher = argon2.PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
_threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="passwords")
_inside = 0


@contextmanager
def turn() -> Iterator[None]:
    """A place among the callers that hash. Raises `Throttled` if too many are waiting already."""
    global _inside
    if _inside >= AT_ONCE + MOST_WAITING:
        raise Throttled(f"Too many log in just now: try again in {RETRY_AFTER_S} seconds.", retry_after_s=RETRY_AFTER_S)
    _inside += 1
    try:
        yield
    finally:
        _inside -= 1


def check(password: str, *, field: str = "password") -> bytes:
    """The bytes of a password that are hashed. Raises `BadUserInput` for one that is too short, too long or not text."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise BadUserInput(f"A password has {SHORTEST} to {LONGEST} characters.", field=field)
    try:
        return _known(password)
    except UnicodeEncodeError:
        raise BadUserInput("The password has characters that are not text.", field=field) from None


async def hash(password: str, *, field: str = "password") -> Hashed:
    """The hash to store. Raises `BadUserInput` as `check` does."""
    return Hashed(await _off_loop(_hasher.hash, check(password, field=field)))


async def verify(stored: str | None, password: str) -> bool:
    """Whether the password fits the hash. Never raises because of what was typed.

    Without a hash to compare with (no such user, no password set, a hash of another scheme) it computes one anyway, so that
    the duration does not reveal who has an account.
    """
    try:
        known = _known(password[: LONGEST + 1])
    except UnicodeEncodeError:
        known = b""  # fits no hash, as `hash` takes neither this nor anything longer
    return await _off_loop(_fits, stored, known)


def is_outdated(stored: str) -> bool:
    """Whether the hash was made with other parameters than today's, so that a new one is due."""
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
    """The password's bytes in one Unicode form: keyboards compose an é differently (NIST SP 800-63B, 3.1.1.2)."""
    return unicodedata.normalize("NFKC", password).encode()


async def _off_loop(work: Callable[..., Result], *args: object) -> Result:
    return await asyncio.get_running_loop().run_in_executor(_threads, work, *args)
