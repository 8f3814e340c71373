from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import argon2
import pytest

from crmgql.domain.people import passwords
from crmgql.errors import BadUserInput

RIGHT = "correct horse battery"


class Hasher(argon2.PasswordHasher):
    """Today's parameters, counting what it is asked to compute."""

    def __init__(self) -> None:
        super().__init__(time_cost=2, memory_cost=19_456, parallelism=1)
        self.computed = 0

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        self.computed += 1
        return super().hash(password, salt=salt)

    def verify(self, hash: str | bytes, password: str | bytes) -> Any:
        self.computed += 1
        return super().verify(hash, password)


async def test_a_hash_fits_its_password_only():
    stored = await passwords.hash(RIGHT)

    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert len(stored) <= 200
    assert RIGHT not in stored
    assert await passwords.verify(stored, RIGHT) is True
    assert await passwords.verify(stored, RIGHT + "!") is False
    assert stored != await passwords.hash(RIGHT)


@pytest.mark.parametrize("password", ["", "seven77", "x" * 1025, "surrogate \ud800 inside"])
async def test_hash_refuses_what_can_not_be_a_password(password: str):
    with pytest.raises(BadUserInput) as refusal:
        await passwords.hash(password, field="input.new")

    assert refusal.value.field == "input.new"


@pytest.mark.parametrize("password", ["eight888", "x" * 1024, "nul \0 inside", "пароль пароль", "🔑🔑🔑🔑🔑🔑🔑🔑"])
async def test_hash_takes_any_text(password: str):
    assert await passwords.verify(await passwords.hash(password), password)


async def test_composed_and_decomposed_letters_are_one_password():
    stored = await passwords.hash("caf\u00e9 noir")

    assert await passwords.verify(stored, "cafe\u0301 noir")


@pytest.mark.parametrize("password", ["", "\ud800", "x" * 1025, "x" * 1_000_000, "\0", "\ufdfa" * 1024])
async def test_verify_never_raises_for_what_was_typed(password: str):
    assert await passwords.verify(await passwords.hash("x" * 1024), password) is False
    assert await passwords.verify(None, password) is False


@pytest.mark.parametrize("stored", [None, "", "$2b$12$bcrypt", "not a hash", "$argon2id$v=19$m=8,t=1,p=1$xx$yy"])
async def test_a_check_without_a_usable_hash_costs_one_too(stored: str | None, monkeypatch: pytest.MonkeyPatch):
    hasher = Hasher()
    monkeypatch.setattr(passwords, "_hasher", hasher)

    assert await passwords.verify(stored, RIGHT) is False

    assert hasher.computed - (stored is not None) == 1  # a hash it can't read is given up before anything is computed


async def test_hashes_with_other_parameters_are_outdated():
    cheap = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(RIGHT)

    assert await passwords.verify(cheap, RIGHT)
    assert passwords.is_outdated(cheap)
    assert not passwords.is_outdated(await passwords.hash(RIGHT))


async def test_no_more_than_its_threads_at_once_even_when_callers_give_up(monkeypatch: pytest.MonkeyPatch):
    running, most, lock = 0, 0, threading.Lock()

    def fits(*_: object) -> bool:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with lock:
            running -= 1
        return False

    monkeypatch.setattr(passwords, "_fits", fits)
    tries = [asyncio.create_task(passwords.verify(None, RIGHT)) for _ in range(10)]
    await asyncio.sleep(0.01)
    for each in tries[: passwords.AT_ONCE]:  # these are being computed: their threads go on
        each.cancel()
    await asyncio.gather(*tries, return_exceptions=True)

    assert most == passwords.AT_ONCE


async def test_the_loop_stays_free_while_hashing():
    work = asyncio.gather(*(passwords.verify(None, RIGHT) for _ in range(4)))
    turns = 0
    while not work.done():
        await asyncio.sleep(0)
        turns += 1
    await work

    assert turns > 20
