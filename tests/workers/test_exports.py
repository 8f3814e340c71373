"""Exports from asking to fetching: whole, of one moment, of what their owner sees, and for nobody else."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from starlette.types import ASGIApp

from crmgql import db, models
from crmgql.config import Settings
from crmgql.domain.customers import erasure
from crmgql.domain.jobs import jobs
from crmgql.domain.people.identity import Identities
from crmgql.domain.streams import exports, packed
from crmgql.engine.operations import Engine
from crmgql.errors import BadUserInput, Conflict, CrmError, Forbidden
from crmgql.events import cursors, positions
from crmgql.http.addresses import Addresses
from crmgql.http.bodies import Bodies
from crmgql.http.exports import Endpoint
from crmgql.http.metrics import Metrics
from crmgql.models.names import api_id
from crmgql.records.records import Act
from crmgql.viewer import Viewer, system, system_clock
from crmgql.workers import exports as job
from crmgql.workers import housekeeping
from crmgql.workers.attempts import Attempts
from tests.conftest import NOW, viewer
from tests.engine.mirror import SHOWN, Mirror, fresh
from tests.engine.test_changes_since import Desk
from tests.jobs import attempt

DOCUMENT = "fragment Record on Order { id version customer { id } ...More } fragment More on Order { note }"
SETTINGS = Settings(log_level="error")


class Office(Desk):
    """A desk at which somebody exports."""

    async def open(self) -> Office:
        await super().open()
        self.identities = Named(self.engine.database, "secret")
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(self.app()), base_url="http://crm")
        return self

    def app(self) -> ASGIApp:
        return Endpoint(self.engine, self.identities, Metrics(dict), bodies=Bodies(5), addresses=Addresses(()))

    async def ask_for(self, document: str = DOCUMENT, who: Viewer | None = None, **given: Any) -> UUID:
        async with self.crm.transaction() as tx:
            return await exports.create(Act(tx, who or self.viewer), self.engine.registered, document=document, **given)

    async def write(self, id: UUID) -> dict[str, Any]:
        """Has it written; its job as it is then."""
        export = await self.row(id)
        job = await self.database.fetchrow("SELECT * FROM jobs WHERE id = $1", export["job_id"])
        await attempt(Attempts(self.crm, SETTINGS, clock=lambda: NOW), job["id"], job["attempts"])
        return dict(await self.database.fetchrow("SELECT * FROM jobs WHERE id = $1", job["id"]))

    async def row(self, id: UUID) -> dict[str, Any]:
        return dict(await self.database.fetchrow("SELECT * FROM exports WHERE id = $1", id))

    async def get(self, id: UUID | str, who: Viewer | None = None, **headers: str) -> httpx.Response:
        self.identities.viewer = who or self.viewer
        name = id if isinstance(id, str) else api_id("Export", id)
        headers = {"authorization": "Bearer x", **{key.replace("_", "-"): value for key, value in headers.items()}}
        return await self.client.get(f"/exports/{name}", headers=headers)

    async def lines(self, id: UUID, who: Viewer | None = None) -> list[dict[str, Any]]:
        answer = await self.get(id, who)
        assert answer.status_code == 200, answer.text
        return [json.loads(line) for line in answer.text.splitlines()]


class Named(Identities):
    """Whoever the test says."""

    viewer: Viewer

    async def identify(self, authorization: str, clock: Any) -> Viewer:
        return self.viewer


@pytest.fixture
async def office(crm: db.Database, database: asyncpg.Connection, engine: Engine) -> AsyncIterator[Office]:
    office = await Office(crm, database, engine).open()
    yield office
    await office.client.aclose()


@pytest.fixture(autouse=True)
def at_a_fixed_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.workers.test_exports.viewer", viewer)


async def test_it_has_what_its_owner_sees(office: Office) -> None:
    mine, foreign = await office.customer(office.me), await office.customer(office.other)
    orders = [await office.order(mine) for _ in range(5)]
    await office.order(foreign)
    await office.change(models.Order, "order.updated", orders[0], note="with\nlines")
    head = await office.head()
    id = await office.ask_for(filter={"version": {"gte": 1}})
    done = await office.write(id)
    assert done["status"] == "DONE", done
    assert json.loads(done["result"]) == {"records": 5, "bytes": (await office.row(id))["size_bytes"], "cursor": head}
    assert done["progress_done"] == 5
    lines = await office.lines(id)
    assert [line["id"] for line in lines] == sorted(api_id("Order", order) for order in orders)
    assert {"id", "version", "customer", "note"} == lines[0].keys()
    assert {line["note"] for line in lines} == {None, "with\nlines"}
    assert {line["customer"]["id"] for line in lines} == {api_id("Customer", mine)}
    answer = await office.get(id, accept_encoding="gzip")
    assert (answer.headers["content-encoding"], answer.headers["crmgql-cursor"]) == ("gzip", head)
    assert "content-encoding" not in (await office.get(id, accept_encoding="identity")).headers


async def test_a_filter_leaves_out(office: Office) -> None:
    mine = await office.customer(office.me)
    orders = [await office.order(mine) for _ in range(3)]
    id = await office.ask_for("fragment Record on Order { id }", filter={"id": {"eq": api_id("Order", orders[1])}})
    await office.write(id)
    assert await office.lines(id) == [{"id": api_id("Order", orders[1])}]
    nothing = await office.ask_for("fragment Record on Order { id }", filter={"status": {"eq": "SHIPPED"}})
    await office.write(nothing)
    assert (await office.get(nothing)).text == ""


async def test_pages_and_chunks_make_one_whole(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is changed or made while it is written comes with the events behind its cursor, and nothing twice."""
    monkeypatch.setattr("crmgql.engine.exporting.PAGE", 4)
    monkeypatch.setattr(job, "CHUNK_BYTES", 700)
    mine = await office.customer(office.me)
    orders = {api_id("Order", await office.order(mine)) for _ in range(30)}
    head = await office.head()
    add, numbers = exports.add, []

    async def adding(act: Act, id: UUID, number: int, body: bytes) -> None:
        numbers.append(number)
        if number == 1:
            await office.order(mine)
            await office.give(mine, office.other)  # who loses the customer meanwhile still gets the moment whole
            await positions.place(office.database)
        await add(act, id, number, body)

    monkeypatch.setattr(exports, "add", adding)
    id = await office.ask_for("fragment Record on Order { id version number customer { id name } }")
    assert (await office.write(id))["status"] == "DONE"
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > 3
    lines = await office.lines(id)
    assert {line["id"] for line in lines} == orders
    assert len(lines) == 30
    plain = await office.get(id, accept_encoding="identity")
    assert plain.text == (await office.get(id, accept_encoding="gzip")).text
    assert len(plain.content) == (await office.row(id))["size_bytes"]
    assert (await office.row(id))["cursor"] == head
    found = await office.since(head, "Order")
    assert {each["id"] for each in found["deleted"]} >= orders


def test_parts_are_one_gzip_stream() -> None:
    packing = packed.Packing()
    texts = [b"", b"a" * 100_000, b"b\n", bytes(range(256)) * 300]
    parts = [packing.add(text) for text in texts]
    assert [packed.unpacked(part) for part in parts] == texts
    whole = packed.HEAD + b"".join(parts) + packed.tail(packing.crc32, packing.size_bytes)
    assert gzip.decompress(whole) == b"".join(texts)  # which checks both sums


async def test_a_second_attempt_begins_anew(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crmgql.engine.exporting.PAGE", 2)
    monkeypatch.setattr(job, "CHUNK_BYTES", 10)
    mine = await office.customer(office.me)
    for _ in range(6):
        await office.order(mine)
    add, calls = exports.add, []

    async def failing(act: Act, id: UUID, number: int, body: bytes) -> None:
        calls.append(number)
        if len(calls) == 2:
            raise RuntimeError("the worker breaks")
        await add(act, id, number, body)

    monkeypatch.setattr(exports, "add", failing)
    id = await office.ask_for()
    assert (await office.write(id))["status"] == "PENDING"
    assert (await office.get(id)).status_code == 409
    extra = await office.order(mine)
    assert (await office.write(id))["status"] == "DONE"
    lines = await office.lines(id)
    assert len(lines) == len({line["id"] for line in lines}) == 7
    assert api_id("Order", extra) in {line["id"] for line in lines}


async def test_it_is_for_its_owner_with_the_same_rights(office: Office) -> None:
    mine = await office.customer(office.me)
    await office.order(mine)
    key = viewer(
        office.me, "SELLER", scopes=frozenset({"orders:read", "customers:read", "exports:read", "exports:write"})
    )
    own, by_key = await office.ask_for(), await office.ask_for("fragment Record on Order { id }", key)
    for id in (own, by_key):
        await office.write(id)

    async def refusal(id: UUID | str, who: Viewer | None = None) -> tuple[int, str]:
        answer = await office.get(id, who)
        return answer.status_code, answer.json()["errors"][0]["extensions"]["code"]

    missing = (404, "NOT_FOUND")
    for stranger in (viewer(office.other, "SELLER"), viewer(office.other, "ADMIN")):
        assert await refusal(own, stranger) == missing
    for id in (office.me, "exp_1", "", "../graphql", api_id("Order", own)):
        assert await refusal(id) == missing
    assert len(await office.lines(own)) == len(await office.lines(by_key)) == 1
    assert len(await office.lines(by_key, key)) == 1
    assert await refusal(own, key) == (403, "FORBIDDEN")  # a key for less than a person may
    assert await refusal(own, viewer(office.me, "MARKETER")) == (403, "FORBIDDEN")
    assert len(await office.lines(own, viewer(office.me, "SELLER", "MANAGER"))) == 1
    assert await refusal(by_key, viewer(office.me, "SELLER", scopes=frozenset({"orders:read"}))) == (403, "FORBIDDEN")
    anonymous = await office.client.get(f"/exports/{api_id('Export', own)}")
    assert anonymous.status_code == 401
    assert (await office.client.post(f"/exports/{api_id('Export', own)}")).status_code == 405


async def test_rights_are_those_of_when_it_is_written(office: Office) -> None:
    mine = await office.customer(office.me)
    await office.order(mine)
    less, gone = await office.ask_for(), await office.ask_for()
    await office.change(models.User, "user.updated", office.me, roles=["MARKETER"])
    assert (await office.write(less))["status"] == "DONE"
    assert await office.lines(less, viewer(office.me, "MARKETER")) == []
    await office.change(models.User, "user.deactivated", office.me, active=False)
    ended = await office.write(gone)
    assert (ended["status"], ended["error_code"]) == ("DEAD", "FORBIDDEN")


async def test_it_expires_and_goes(office: Office) -> None:
    await office.order(await office.customer(office.me))
    id = await office.ask_for()
    await office.write(id)
    async with office.crm.transaction() as tx:
        assert await exports.purge(tx, now=NOW + timedelta(hours=47), limit=100) == 0
    late = Viewer(office.me, office.viewer.who, clock=lambda: NOW + timedelta(hours=49))
    assert (await office.get(id, late)).status_code == 404
    after = NOW + timedelta(hours=49)
    attempts = Attempts(office.crm, SETTINGS, clock=lambda: after)
    async with office.crm.transaction() as tx:
        work = await jobs.enqueue(
            Act(tx, system(lambda: after)), housekeeping.kinds.HOUSEKEEPING, housekeeping.kinds.Nothing()
        )
    await attempt(attempts, work, 0)
    assert await office.database.fetchval("SELECT count(*) FROM export_chunks") == 0
    assert await office.database.fetchval("SELECT count(*) FROM exports") == 0


async def test_who_was_erased_is_in_no_export(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    person = await office.customer(office.me, kind="PERSON")
    done, running = await office.ask_for(), await office.ask_for("fragment Record on Customer { id name }")
    await office.write(done)
    add = exports.add

    async def erased_meanwhile(act: Act, id: UUID, number: int, body: bytes) -> None:
        monkeypatch.setattr(exports, "add", add)
        async with office.crm.transaction() as tx:
            await erasure.erase(Act(tx, system(system_clock)), customer_id=person)
        await add(act, id, number, body)

    monkeypatch.setattr(exports, "add", erased_meanwhile)
    assert (await office.write(running))["status"] == "PENDING"
    monkeypatch.setattr("tests.workers.test_exports.NOW", system_clock() + timedelta(seconds=1))
    assert (await office.write(running))["status"] == "DONE"
    assert [line["name"] for line in await office.lines(running)] == ["Erased"]
    later = Viewer(office.me, office.viewer.who, clock=lambda: system_clock())
    assert (await office.get(done, later)).status_code == 404


@pytest.mark.parametrize(
    ("document", "filter", "error", "field"),
    [
        ("", None, BadUserInput, "document"),
        ("{ orders { nodes { id } } }", None, BadUserInput, "document"),
        ("fragment Record on Order { id", None, BadUserInput, "document"),
        ("fragment Payload on Order { id }", None, BadUserInput, "document"),
        ("fragment Record on Money { amount }", None, BadUserInput, "document"),
        ("fragment Record on Company { id }", None, BadUserInput, "document"),
        ("fragment Record on Order { nonsense }", None, BadUserInput, "document"),
        ("fragment Record on Order { lines(first: $n) { nodes { id } } }", None, BadUserInput, "document"),
        ("fragment Record on Order { id }" + " " * 16_400, None, BadUserInput, "document"),
        ("fragment Record on Order { id }", {"nonsense": 1}, BadUserInput, "filter"),
        ("fragment Record on Order { id }", [1], BadUserInput, "filter"),
        ("fragment Record on Product { id }", {"cost": {"gt": "1"}}, Forbidden, None),
        ("fragment Record on Order { lines(first: 1000) { nodes { id } } }", None, BadUserInput, None),
    ],
)
async def test_what_is_refused(
    office: Office, document: str, filter: Any, error: type[CrmError], field: str | None
) -> None:
    with pytest.raises(error) as refusal:
        await office.ask_for(document, filter=filter)
    assert field is None or refusal.value.field == field
    assert await office.database.fetchval("SELECT count(*) FROM exports") == 0


async def test_not_too_many_at_once(office: Office) -> None:
    made = await asyncio.gather(*(office.ask_for() for _ in range(exports.MOST_WAITING + 2)), return_exceptions=True)
    assert sum(isinstance(each, Conflict) for each in made) == 2
    assert await office.database.fetchval("SELECT count(*) FROM jobs") == exports.MOST_WAITING


async def test_a_cursor_is_one_of_the_feed(office: Office) -> None:
    id = await office.ask_for()
    await office.write(id)
    assert cursors.parse((await office.row(id))["cursor"]) <= cursors.parse(await office.head())


async def test_a_copy_from_exports_goes_on_with_the_changes(office: Office) -> None:
    """Copy, then follow: whatever happens before, between and after the exports, the copy ends equal."""
    customers = [await office.customer(office.me) for _ in range(3)]
    orders = [await office.order(customer) for customer in customers]
    waiting = [await office.ask_for(f"fragment Record on {name} {{ {SHOWN[name]} }}") for name in ("Order", "Customer")]
    await office.change(models.Order, "order.updated", orders[0], note="before, without a position")
    await office.write(waiting[0])
    await office.give(customers[1], office.other)
    await positions.place(office.database)
    await office.order(customers[2])
    await office.write(waiting[1])
    await office.change(models.Order, "order.updated", orders[2], note="after")
    await positions.place(office.database)
    mirror = Mirror(office.engine, lambda: office.viewer, ("Customer", "Order"))
    mirror.cursor = min([(await office.row(id))["cursor"] for id in waiting])
    mirror.records = {line["id"]: line for id in waiting for line in await office.lines(id)}
    await mirror.sync()
    assert mirror.records == await fresh(office.engine, office.viewer, mirror.types)
    assert len(mirror.records) == 5
