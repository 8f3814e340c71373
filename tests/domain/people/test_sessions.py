from __future__ import annotations

import asyncio
import re
from datetime import datetime, timedelta
from uuid import UUID

import argon2
import asyncpg
import pytest

from crmgql.db import Database
from crmgql.domain.people import clients, login_attempts, passwords, sessions, tokens
from crmgql.errors import BadUserInput, CrmError, Forbidden, Unauthenticated
from crmgql.viewer import Viewer
from tests.domain.doors import CHEAP, EMAIL, ISSUE, NOW, PASSWORD, add_user, change, login, outcomes, viewer

WRONG = "^" + re.escape("E-mail or password is wrong.") + "$"


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_hasher", CHEAP)


@pytest.fixture
async def user_id(database: asyncpg.Connection) -> UUID:
    return await add_user(database, EMAIL)


async def refresh(crm: Database, token: str, *, client: str | None = None, now: datetime = NOW) -> sessions.Tokens:
    return await sessions.refresh(crm, refresh_token=token, client=client, now=now, issue=ISSUE)


async def live(database: asyncpg.Connection) -> int:
    return await database.fetchval("SELECT count(*) FROM sessions WHERE used_at IS NULL AND revoked_at IS NULL")


# Logging in


async def test_login_starts_a_family(crm: Database, database: asyncpg.Connection, user_id: UUID):
    made = await login(crm)

    row = await database.fetchrow("SELECT * FROM sessions")
    assert (row["user_id"], row["expires_at"], row["used_at"]) == (user_id, NOW + timedelta(days=30), None)
    assert row["token_hash"] == tokens.digest(made.refresh_token)
    claims = tokens.read_access(ISSUE.secret, made.access_token, now=NOW)
    assert claims == tokens.AccessClaims(user_id, row["family"], made.expires_at)
    assert made.expires_at == NOW + timedelta(minutes=15)
    assert made.user_id == user_id
    await login(crm)
    assert await database.fetchval("SELECT count(DISTINCT family) FROM sessions") == 2


@pytest.mark.parametrize("email", ["ada@EXAMPLE.com", "  ADA@example.COM\n"])
@pytest.mark.usefixtures("user_id")
async def test_the_case_of_an_email_does_not_matter(crm: Database, email: str):
    await login(crm, email=email)


async def test_all_failures_look_the_same_and_cost_one_check(
    crm: Database, database: asyncpg.Connection, user_id: UUID, monkeypatch: pytest.MonkeyPatch
):
    await add_user(database, "inactive@example.com", active=False)
    await add_user(database, "nohash@example.com", hash=None)
    await add_user(database, "bcrypt@example.com", hash="$2b$12$abcdefghijklmnopqrstuv")
    checked: list[str | None] = []
    verify = passwords.verify

    async def spy(stored: str | None, password: str) -> bool:
        checked.append(stored)
        return await verify(stored, password)

    monkeypatch.setattr(passwords, "verify", spy)
    with pytest.raises(Unauthenticated, match=WRONG):
        await login(crm, password="not it at all")
    emails = ["inactive@example.com", "nohash@example.com", "bcrypt@example.com", "nobody@example.com"]
    for email in [*emails, "", "\0", f"{EMAIL}\0", "\ud800@example.com", "x" * 10_000, "' OR true --"]:
        with pytest.raises(Unauthenticated, match=WRONG):
            await login(crm, email=email)

    assert len(checked) == 11
    assert checked.count(None) == 9
    assert await live(database) == 0


@pytest.mark.parametrize("password", ["", "\0", "\ud800", "x" * 10_000])
@pytest.mark.usefixtures("user_id")
async def test_strange_passwords_are_wrong_passwords(crm: Database, password: str):
    with pytest.raises(Unauthenticated, match=WRONG):
        await login(crm, password=password)


async def test_old_parameters_are_renewed_at_login(
    crm: Database, database: asyncpg.Connection, user_id: UUID, monkeypatch: pytest.MonkeyPatch
):
    newer = argon2.PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)
    monkeypatch.setattr(passwords, "_hasher", newer)
    await outcomes(*(login(crm) for _ in range(3)))

    stored = await database.fetchval("SELECT password_hash FROM users")
    assert not newer.check_needs_rehash(stored)
    await login(crm)


async def test_who_is_deactivated_while_the_password_is_checked_stays_out(
    crm: Database, database: asyncpg.Connection, user_id: UUID, monkeypatch: pytest.MonkeyPatch
):
    async def verify(stored: str | None, password: str) -> bool:
        await database.execute("UPDATE users SET active = false")
        return True

    monkeypatch.setattr(passwords, "verify", verify)
    with pytest.raises(Unauthenticated, match=WRONG):
        await login(crm)

    assert await live(database) == 0


# Staying in


async def test_refreshing_replaces_the_token_in_its_family(crm: Database, database: asyncpg.Connection, user_id: UUID):
    first = await login(crm)
    later = NOW + timedelta(minutes=20)
    second = await refresh(crm, first.refresh_token, now=later)
    third = await refresh(crm, second.refresh_token, now=later)

    claims = [tokens.read_access(ISSUE.secret, made.access_token, now=NOW) for made in (first, second, third)]
    assert len({claim.family for claim in claims}) == 1
    assert second.expires_at == later + timedelta(minutes=15)
    assert second.user_id == user_id
    rows = await database.fetch("SELECT token_hash, used_at, expires_at FROM sessions ORDER BY id")
    assert [row["token_hash"] for row in rows] == [tokens.digest(m.refresh_token) for m in (first, second, third)]
    assert [row["used_at"] for row in rows] == [later, later, None]
    assert rows[2]["expires_at"] == later + timedelta(days=30)


@pytest.mark.usefixtures("user_id")
async def test_using_a_replaced_token_ends_the_family_for_good(crm: Database, database: asyncpg.Connection):
    """The attack: a stolen refresh token is used after its owner used it, or before."""
    stolen = await login(crm)
    other = await login(crm)
    second = await refresh(crm, stolen.refresh_token)
    third = await refresh(crm, second.refresh_token)
    with pytest.raises(Unauthenticated, match="was used before"):
        await refresh(crm, stolen.refresh_token)

    with pytest.raises(Unauthenticated, match="session has ended"):
        await refresh(crm, third.refresh_token)
    assert await live(database) == 1
    await refresh(crm, other.refresh_token)


@pytest.mark.usefixtures("user_id")
async def test_two_refreshes_at_once_have_one_winner_and_end_the_family(crm: Database, database: asyncpg.Connection):
    for _ in range(5):
        made = await login(crm)
        done = await asyncio.gather(*(refresh(crm, made.refresh_token) for _ in range(2)), return_exceptions=True)
        [winner] = [each for each in done if isinstance(each, sessions.Tokens)]
        with pytest.raises(Unauthenticated, match="session has ended"):
            await refresh(crm, winner.refresh_token)

    assert await live(database) == 0


@pytest.mark.usefixtures("user_id")
async def test_a_refresh_never_slips_past_a_revocation(crm: Database, database: asyncpg.Connection):
    """The attack: the thief's refresh runs at the very moment in which the owner's old token gives the theft away."""
    for _ in range(10):
        first = await login(crm)
        second = await refresh(crm, first.refresh_token)
        await outcomes(refresh(crm, second.refresh_token), refresh(crm, first.refresh_token))
        assert await live(database) == 0
        third = await login(crm)
        await outcomes(
            refresh(crm, third.refresh_token), sessions.logout(crm, refresh_token=third.refresh_token, now=NOW)
        )
        assert await live(database) == 0


@pytest.mark.usefixtures("user_id")
async def test_expired_and_inactive_do_not_refresh(crm: Database, database: asyncpg.Connection):
    made = await login(crm)
    with pytest.raises(Unauthenticated, match="expired"):
        await refresh(crm, made.refresh_token, now=NOW + timedelta(days=30))
    await database.execute("UPDATE users SET active = false")
    with pytest.raises(Unauthenticated, match="not active"):
        await refresh(crm, made.refresh_token)


@pytest.mark.parametrize("token", ["", "x", "\0", "\ud800", "x" * 10_000, "' OR true --"])
async def test_unknown_refresh_tokens_are_refused(crm: Database, token: str):
    with pytest.raises(Unauthenticated, match="not one of ours"):
        await refresh(crm, token)
    assert await sessions.logout(crm, refresh_token=token, now=NOW) is None


# A lost answer, a second tab


async def family_of(crm: Database, made: sessions.Tokens) -> UUID:
    return tokens.read_access(ISSUE.secret, made.access_token, now=NOW).family


@pytest.mark.usefixtures("user_id")
@pytest.mark.parametrize("seconds", [0, 29, 30, -2])
async def test_the_same_client_may_ask_again_right_after(crm: Database, database: asyncpg.Connection, seconds: int):
    first = await login(crm)
    await refresh(crm, first.refresh_token, client="me")
    later = NOW + timedelta(seconds=seconds)
    again = await refresh(crm, first.refresh_token, client="me", now=later)

    assert await family_of(crm, again) == await family_of(crm, first)
    assert await live(database) == 2
    await refresh(crm, again.refresh_token, client="me", now=later)


@pytest.mark.usefixtures("user_id")
@pytest.mark.parametrize(
    ("used_by", "used_again_by", "seconds"),
    [("me", "thief", 1), ("thief", "me", 1), ("me", "me", 30.001), (None, None, 1), (None, "me", 1), ("me", None, 1)],
)
async def test_another_client_or_a_later_try_ends_the_family(
    crm: Database, database: asyncpg.Connection, used_by: str | None, used_again_by: str | None, seconds: float
):
    """The attack: a stolen refresh token is used beside its owner, in whichever order."""
    first = await login(crm)
    second = await refresh(crm, first.refresh_token, client=used_by)
    with pytest.raises(Unauthenticated, match="was used before"):
        await refresh(crm, first.refresh_token, client=used_again_by, now=NOW + timedelta(seconds=seconds))

    assert await live(database) == 0
    for client in (used_by, used_again_by):
        with pytest.raises(Unauthenticated, match="session has ended"):
            await refresh(crm, second.refresh_token, client=client)


@pytest.mark.usefixtures("user_id")
async def test_five_times_and_no_more(crm: Database, database: asyncpg.Connection):
    first = await login(crm)
    for _ in range(6):
        await refresh(crm, first.refresh_token, client="me")
    assert await live(database) == 6
    with pytest.raises(Unauthenticated, match="was used before"):
        await refresh(crm, first.refresh_token, client="me")
    assert await live(database) == 0


@pytest.mark.usefixtures("user_id")
async def test_what_has_ended_stays_ended_within_the_grace(crm: Database, database: asyncpg.Connection, user_id: UUID):
    """The attack: after a logout, or a new password, the token before is used again in time."""
    for end in ("logout", "revoke_all"):
        first = await login(crm)
        second = await refresh(crm, first.refresh_token, client="me")
        if end == "logout":
            await sessions.logout(crm, refresh_token=second.refresh_token, now=NOW)
        else:
            async with crm.transaction() as tx:
                await sessions.revoke_all(tx, user_id=user_id, now=NOW)
        for token in (first.refresh_token, second.refresh_token):
            with pytest.raises(Unauthenticated):
                await refresh(crm, token, client="me")
        assert await live(database) == 0


@pytest.mark.usefixtures("user_id")
async def test_a_sibling_dies_with_its_family(crm: Database, database: asyncpg.Connection):
    first = await login(crm)
    second = await refresh(crm, first.refresh_token, client="me")
    sibling = await refresh(crm, first.refresh_token, client="me")
    third = await refresh(crm, second.refresh_token, client="me")
    with pytest.raises(Unauthenticated, match="was used before"):
        await refresh(crm, second.refresh_token, client="thief")

    for made in (sibling, third):
        with pytest.raises(Unauthenticated, match="session has ended"):
            await refresh(crm, made.refresh_token, client="me")
    assert await live(database) == 0


@pytest.mark.usefixtures("user_id")
async def test_two_tabs_at_once_both_stay_in(crm: Database, database: asyncpg.Connection):
    for number in range(1, 6):
        made = await login(crm)
        both = await asyncio.gather(*(refresh(crm, made.refresh_token, client="me") for _ in range(2)))
        await asyncio.gather(*(refresh(crm, each.refresh_token, client="me") for each in both))
        assert await live(database) == 2 * number


@pytest.mark.usefixtures("user_id")
async def test_neither_the_expired_nor_the_inactive_ask_again(crm: Database, database: asyncpg.Connection):
    ends = NOW + timedelta(days=30)
    first = await login(crm)
    await refresh(crm, first.refresh_token, client="me", now=ends - timedelta(seconds=1))
    with pytest.raises(Unauthenticated, match="expired"):
        await refresh(crm, first.refresh_token, client="me", now=ends)
    await database.execute("UPDATE users SET active = false")
    with pytest.raises(Unauthenticated, match="not active"):
        await refresh(crm, first.refresh_token, client="me", now=ends - timedelta(seconds=1))


def test_a_client_is_known_by_its_address_and_program():
    known = clients.fingerprint("192.0.2.1", "Browser 1")
    assert known == clients.fingerprint("::ffff:192.0.2.1", "Browser 1")
    assert clients.fingerprint("2001:db8:1:2::1", "B") == clients.fingerprint("2001:db8:1:2::2", "B")
    others = [("192.0.2.2", "Browser 1"), ("192.0.2.1", "Browser 2"), ("192.0.2.1 ", "Browser 1"), ("a", "\n")]
    assert len({known, *(clients.fingerprint(*each) for each in others)}) == 4
    for remote, agent in (("192.0.2.1", None), (None, "Browser 1"), ("192.0.2.1", ""), ("", "B"), ("unknown", "B")):
        assert clients.fingerprint(remote, agent) is None


# Leaving


async def test_logout_ends_its_family_only(crm: Database, database: asyncpg.Connection, user_id: UUID):
    first, other = await login(crm), await login(crm)
    second = await refresh(crm, first.refresh_token)
    for _ in range(2):
        assert await sessions.logout(crm, refresh_token=second.refresh_token, now=NOW) == user_id

    with pytest.raises(Unauthenticated, match="session has ended"):
        await refresh(crm, second.refresh_token)
    await refresh(crm, other.refresh_token)


async def test_purge_keeps_what_still_matters(crm: Database, database: asyncpg.Connection, user_id: UUID):
    made = await login(crm)
    await refresh(crm, made.refresh_token, now=NOW + timedelta(days=5))
    for days, left in [(30, (2, 0)), (30.9, (2, 0)), (32, (1, 0)), (37, (0, 0))]:
        for _ in range(2):
            async with crm.transaction() as tx:
                await sessions.purge(tx, now=NOW + timedelta(days=days), limit=100)
                await login_attempts.purge(tx, now=NOW + timedelta(days=days), limit=100)
        count = "SELECT (SELECT count(*) FROM sessions), (SELECT count(*) FROM login_attempts)"
        assert tuple(await database.fetchrow(count)) == left


# Changing the password


async def test_a_new_password_ends_all_other_sessions(crm: Database, database: asyncpg.Connection, user_id: UUID):
    old = [await login(crm), await login(crm)]
    fresh = await change(crm, viewer(user_id), PASSWORD, "another password")

    for made in old:
        with pytest.raises(Unauthenticated, match="session has ended"):
            await refresh(crm, made.refresh_token)
    await refresh(crm, fresh.refresh_token)
    with pytest.raises(Unauthenticated, match=WRONG):
        await login(crm)
    await login(crm, password="another password")
    rows = await database.fetch("SELECT action, actor_id, subject_id, changes FROM audit_entries ORDER BY id")
    kinds = ["user.loggedIn", "user.loggedIn", "user.passwordChanged", "user.loggedIn"]
    assert [tuple(row) for row in rows] == [(kind, user_id, user_id, "{}") for kind in kinds]


async def test_two_changes_at_once_have_one_winner(crm: Database, user_id: UUID):
    tries = [change(crm, viewer(user_id), PASSWORD, f"another password {n}") for n in range(3)]

    assert await outcomes(*tries) == {"Tokens": 1, "BadUserInput": 2}


async def test_a_password_change_that_can_not_be(crm: Database, database: asyncpg.Connection, user_id: UUID):
    nobody = await add_user(database, "nohash@example.com", hash=None)
    refusals: list[tuple[Viewer, str, type[CrmError], str | None]] = [
        (viewer(user_id), "short", BadUserInput, "new"),
        (viewer(user_id), "lone \ud800 surrogate", BadUserInput, "new"),
        (viewer(user_id, api_key_id=UUID(int=9)), "another password", Forbidden, None),
        (viewer(nobody), "another password", BadUserInput, "current"),
        (viewer(UUID(int=7)), "another password", BadUserInput, "current"),
    ]
    for by, new, error, field in refusals:
        with pytest.raises(error) as refusal:
            await change(crm, by, PASSWORD, new)
        assert refusal.value.field == field
    await login(crm)


async def test_revoke_all_is_part_of_the_callers_transaction(
    crm: Database, database: asyncpg.Connection, user_id: UUID
):
    await login(crm)
    await login(crm)
    async with crm.transaction() as tx:
        await sessions.revoke_all(tx, user_id=user_id, now=NOW)
        assert await live(database) == 2

    assert await live(database) == 0
