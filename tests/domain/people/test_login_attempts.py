"""Failed logins: who has to wait, who never does, and who is told."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from crmgql.db import Database
from crmgql.domain.people import login_attempts, passwords
from crmgql.domain.people.login_attempts import Blocks, Client
from crmgql.errors import Throttled, Unauthenticated
from tests.domain.doors import ADDRESS, CHEAP, EMAIL, NOW, PASSWORD, add_user, change, login, outcomes, viewer

DIGEST = hashlib.sha256(EMAIL.lower().encode()).hexdigest()
PAIR, ALONE, TOTAL = f"client {DIGEST} {ADDRESS}", f"remote {ADDRESS}", f"email {EMAIL.lower()}"
BAD = "not it at all"


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_hasher", CHEAP)


@pytest.fixture
async def user_id(database: asyncpg.Connection) -> UUID:
    return await add_user(database, EMAIL)


@pytest.fixture
def taken(crm: Database, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was taken from the pool for writing."""
    uses: list[str] = []
    connection, transaction = crm.connection, crm.transaction

    @asynccontextmanager
    async def one_connection() -> AsyncIterator[Any]:
        uses.append("connection")
        async with connection() as taken:
            yield taken

    @asynccontextmanager
    async def one_transaction() -> AsyncIterator[Any]:
        uses.append("transaction")
        async with transaction() as taken:
            yield taken

    monkeypatch.setattr(crm, "connection", one_connection)
    monkeypatch.setattr(crm, "transaction", one_transaction)
    return uses


async def failures(database: asyncpg.Connection) -> dict[str, int]:
    return dict(await database.fetch("SELECT key, failures FROM login_attempts"))


async def told(database: asyncpg.Connection) -> list[asyncpg.Record]:
    return await database.fetch("SELECT user_id, kind, title, body FROM notifications ORDER BY id")


# By e-mail and address


@pytest.mark.usefixtures("user_id")
async def test_after_five_failures_even_the_right_password_waits(crm: Database, database: asyncpg.Connection):
    for _ in range(5):
        with pytest.raises(Unauthenticated):
            await login(crm, password=BAD)
    with pytest.raises(Throttled) as refusal:
        await login(crm, now=NOW + timedelta(minutes=5, microseconds=1))

    assert refusal.value.retry_after_s == 600
    assert refusal.value.code == "THROTTLED"
    assert await failures(database) == {PAIR: 6, ALONE: 6, TOTAL: 5}
    await login(crm, now=NOW + timedelta(minutes=15))


@pytest.mark.usefixtures("user_id")
async def test_nobody_locks_out_somebody_elsewhere(crm: Database):
    """The attack: wrong passwords for somebody else's e-mail, from everywhere, so that they can't log in."""
    for n in range(60):
        assert await outcomes(*(login(crm, password=BAD, remote=f"198.51.100.{n}") for _ in range(7))) == {
            "Unauthenticated": 5,
            "Throttled": 2,
        }

    await login(crm)


@pytest.mark.usefixtures("user_id")
async def test_trying_while_blocked_does_not_prolong_it(crm: Database):
    for minute in range(14):
        await outcomes(login(crm, password=BAD, now=NOW + timedelta(minutes=minute)))

    await login(crm, now=NOW + timedelta(minutes=15))


@pytest.mark.usefixtures("user_id")
@pytest.mark.parametrize("remote", [ADDRESS, None])
async def test_twenty_at_once_get_five_tries(crm: Database, monkeypatch: pytest.MonkeyPatch, remote: str | None):
    seen = 0
    verify = passwords.verify

    async def spy(stored: str | None, password: str) -> bool:
        nonlocal seen
        seen += 1
        return await verify(stored, password)

    monkeypatch.setattr(passwords, "verify", spy)
    spellings = [EMAIL, EMAIL.upper(), f" {EMAIL}", EMAIL.lower()]
    tries = [login(crm, email=spellings[n % 4], password=BAD, remote=remote) for n in range(20)]

    assert await outcomes(*tries) == {"Unauthenticated": 5, "Throttled": 15}
    assert seen == 5


@pytest.mark.usefixtures("user_id")
async def test_success_clears_this_client_and_takes_one_from_the_others(crm: Database, database: asyncpg.Connection):
    for remote in (ADDRESS, "198.51.100.7"):
        await outcomes(*(login(crm, password=BAD, remote=remote) for _ in range(4)))
    await login(crm)

    elsewhere = {f"client {DIGEST} 198.51.100.7": 4, "remote 198.51.100.7": 4}
    assert await failures(database) == {PAIR: 0, ALONE: 4, TOTAL: 8, **elsewhere}


@pytest.mark.usefixtures("user_id")
async def test_logging_in_often_is_no_failure(crm: Database, database: asyncpg.Connection):
    for _ in range(60):
        await login(crm)

    assert await failures(database) == {PAIR: 0, ALONE: 0, TOTAL: 0}


async def test_guessing_the_current_password_is_throttled_like_logins(crm: Database, user_id: UUID):
    """The attack: a stolen access token is used to find out the password."""
    tries = [change(crm, viewer(user_id), BAD, "another password") for _ in range(20)]

    assert await outcomes(*tries) == {"BadUserInput": 5, "Throttled": 15}
    with pytest.raises(Throttled):
        await login(crm)
    await login(crm, remote="198.51.100.7")


# By address alone


@pytest.mark.usefixtures("user_id")
async def test_an_address_gets_fifty_failures_and_then_locks_nobody_out(crm: Database, database: asyncpg.Connection):
    guesses = [login(crm, email=f"guess{n}@example.com", remote="198.51.100.7") for n in range(60)]
    assert await outcomes(*guesses[:30]) == {"Unauthenticated": 30}
    assert await outcomes(*guesses[30:]) == {"Unauthenticated": 20, "Throttled": 10}
    for _ in range(10):
        with pytest.raises(Throttled):
            await login(crm, password=BAD, remote="198.51.100.7")

    assert TOTAL not in await failures(database)
    await login(crm)


@pytest.mark.usefixtures("user_id")
@pytest.mark.parametrize(
    ("remote", "key"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("A proxy's word", "a proxy's word"),
        ("Unknown", None),
        ("\0", None),
        ("\ud800", None),
        ("x" * 10_000, None),
        ("", None),
        (None, None),
    ],
)
async def test_addresses_are_counted_by_what_a_client_can_not_change(
    crm: Database, database: asyncpg.Connection, remote: str | None, key: str | None
):
    with pytest.raises(Unauthenticated):
        await login(crm, password=BAD, remote=remote)

    alone = {f"remote {key}": 1} if key else {}
    assert await failures(database) == {f"client {DIGEST} {key or 'unknown'}": 1, TOTAL: 1} | alone


async def test_the_longest_email_has_a_counter_per_address(crm: Database, database: asyncpg.Connection):
    email = "İ" * 254
    for remote in ("2001:db8:1:2:3:4:5:6", "2001:db8:1:3:3:4:5:6"):
        with pytest.raises(Unauthenticated):
            await login(crm, email=email, remote=remote)

    assert sorted((await failures(database)).values()) == [1, 1, 1, 1, 2]


# By e-mail: nobody waits, the administrators are told


async def test_administrators_are_told_once_a_window(crm: Database, database: asyncpg.Connection, user_id: UUID):
    boss = await add_user(database, "boss@example.com", roles=["ADMIN"])
    await add_user(database, "gone@example.com", roles=["ADMIN"], active=False)
    for n in range(20):
        await outcomes(login(crm, password=BAD, remote=f"198.51.100.{n % 5}", email=EMAIL.upper()))
    assert await told(database) == []
    await outcomes(*(login(crm, password=BAD, remote=f"203.0.113.{n}") for n in range(12)))

    [news] = await told(database)
    assert (news["user_id"], news["kind"], news["title"]) == (
        boss,
        "login.failures",
        "Many failed logins as Ada@example.com",
    )
    assert news["body"].startswith("20 failed logins as Ada@example.com since 07:08 UTC, different addresses: ")
    assert "Ask Ada whether" in news["body"]
    later = NOW + timedelta(minutes=16)
    await outcomes(*(login(crm, password=BAD, remote=f"203.0.113.{n}", now=later) for n in range(25)))
    assert len(await told(database)) == 2


async def test_how_many_addresses(crm: Database, database: asyncpg.Connection, user_id: UUID):
    await add_user(database, "boss@example.com", roles=["ADMIN"])
    await outcomes(login(crm, email="other@example.com", password=BAD, remote="203.0.113.200"))
    for n in range(21):
        await outcomes(login(crm, password=BAD, remote=f"203.0.113.{n % 7}"))

    [news] = await told(database)
    assert "different addresses: 7. " in news["body"]


async def test_of_who_does_not_exist_nobody_is_told(crm: Database, database: asyncpg.Connection, user_id: UUID):
    await add_user(database, "boss@example.com", roles=["ADMIN"])
    for n in range(30):
        await outcomes(login(crm, email="nobody@example.com", remote=f"203.0.113.{n}"))
        await login(crm, remote=f"203.0.113.{n}")

    assert await told(database) == []


async def test_administrators_are_read_only_when_there_is_something_to_tell(database: asyncpg.Connection):
    """Cheap for everybody else: with few failures the statement looks at no user but the one who is meant."""
    sql = login_attempts.COUNT_EMAIL.replace("$1", "now()").replace("$2", "now()").replace("$3", "'a@example.com'")
    sql = sql.replace("$4", "'15 min'").replace("$5", "20").replace("$6", "'%1$s'").replace("$7", "'{ADMIN}'")
    plan = "\n".join(row[0] for row in await database.fetch(f"EXPLAIN (ANALYZE, COSTS OFF) {sql}"))

    assert "One-Time Filter" in plan
    assert "on users (actual" not in plan.partition("CTE told")[2].partition("One-Time Filter")[2]


# From memory


@pytest.mark.usefixtures("user_id")
async def test_one_login_takes_one_connection_and_one_transaction(crm: Database, taken: list[str]):
    await login(crm)
    assert taken == ["connection", "transaction"]
    await outcomes(login(crm, password=BAD))
    assert taken == ["connection", "transaction", "connection"]


async def test_who_is_blocked_takes_no_connection(crm: Database, taken: list[str], user_id: UUID):
    blocks = Blocks()
    for _ in range(6):
        await outcomes(
            login(crm, password=BAD, blocks=blocks), change(crm, viewer(user_id), BAD, PASSWORD, blocks=blocks)
        )
    taken.clear()
    for seconds in (0, 9.9):
        with pytest.raises(Throttled, match="try again in") as refusal:
            await login(crm, blocks=blocks, now=NOW + timedelta(seconds=seconds))
        assert refusal.value.retry_after_s == 900 - int(seconds)
    with pytest.raises(Throttled):
        await change(crm, viewer(user_id), PASSWORD, "another password", blocks=blocks)

    assert taken == []
    with pytest.raises(Throttled):
        await login(crm, blocks=blocks, now=NOW + timedelta(seconds=10))
    assert taken == ["connection"]
    await login(crm, blocks=blocks, remote="198.51.100.7")


@pytest.mark.usefixtures("user_id")
async def test_a_blocked_address_takes_no_connection(crm: Database, database: asyncpg.Connection, taken: list[str]):
    await outcomes(login(crm, password=BAD))
    await database.execute("UPDATE login_attempts SET failures = 50 WHERE key LIKE 'remote%'")
    blocks = Blocks()
    for n in range(5):
        await outcomes(login(crm, email=f"guess{n}@example.com", blocks=blocks))

    assert taken == ["connection"] * 2


@pytest.mark.usefixtures("user_id")
async def test_a_success_ends_what_was_remembered(crm: Database, monkeypatch: pytest.MonkeyPatch):
    """Six logins at once, all with the right password: the sixth has to wait, but not once the others are in."""
    blocks, free, verify = Blocks(), asyncio.Event(), passwords.verify

    async def slow(stored: str | None, password: str) -> bool:
        await free.wait()
        return await verify(stored, password)

    monkeypatch.setattr(passwords, "verify", slow)
    five = [asyncio.ensure_future(login(crm, blocks=blocks)) for _ in range(5)]
    await asyncio.sleep(0.1)
    with pytest.raises(Throttled):
        await login(crm, blocks=blocks)
    free.set()
    assert await outcomes(*five) == {"Tokens": 5}
    await login(crm, blocks=blocks)


async def test_the_memory_is_bounded_and_forgets_what_is_over_first():
    blocks = Blocks(size=10)
    ends = NOW + timedelta(minutes=15)
    for n in range(5):
        blocks.note(f"short {n}", NOW + timedelta(seconds=1), NOW)
    for n in range(5):
        blocks.note(f"long {n}", ends, NOW)
    later = NOW + timedelta(seconds=2)
    blocks.note("one more", ends, later)
    assert len(blocks) == 6
    for n in range(5):
        with pytest.raises(Throttled):
            blocks.check(Client(f"long {n}", None), later)
    for n in range(1000):
        blocks.note(f"many {n}", ends, later)
    assert len(blocks) == 10


async def test_memory_and_counters_agree_whatever_happens(crm: Database, database: asyncpg.Connection, user_id: UUID):
    """Two processes, three addresses, right and wrong passwords: no client gets a sixth look after five failures."""
    dice = random.Random(7)
    processes, looked = [Blocks(), Blocks()], dict.fromkeys(range(3), 0)
    for _ in range(150):
        n, right = dice.randrange(3), dice.random() < 0.15
        remote, blocks = f"192.0.2.{n}", dice.choice(processes)
        try:
            await login(crm, remote=remote, blocks=blocks, password=PASSWORD if right else BAD)
            looked[n] = 0
        except Unauthenticated:
            looked[n] += 1
        except Throttled:
            assert looked[n] == 5
        assert looked[n] <= 5


# Waiting for a hash


async def test_past_forty_waiting_the_rest_is_told_to_come_again(
    crm: Database, monkeypatch: pytest.MonkeyPatch, taken: list[str]
):
    free, most = asyncio.Event(), passwords.AT_ONCE + passwords.MOST_WAITING

    async def verify(stored: str | None, password: str) -> bool:
        await free.wait()
        return False

    monkeypatch.setattr(passwords, "verify", verify)
    tries = [asyncio.ensure_future(login(crm, remote=f"192.0.2.{n}")) for n in range(most)]
    await asyncio.sleep(0.01)
    before = len(taken)
    for _ in range(10):
        with pytest.raises(Throttled) as refusal:
            await login(crm, remote="198.51.100.7")
        assert refusal.value.retry_after_s == 2
    assert len(taken) == before
    tries.pop().cancel()
    await asyncio.sleep(0)
    tries.append(asyncio.ensure_future(login(crm, remote="198.51.100.7")))
    await asyncio.sleep(0)
    free.set()
    assert await outcomes(*tries) == {"Unauthenticated": most}
