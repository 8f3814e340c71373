"""Keeps a copy of a crmgql server's orders and payments in a SQLite file: `python integrator.py orders.db`.

First it copies all of them, then it follows events. Each transaction of the server becomes one transaction of the file, together
with the cursor: wherever either side crashes, it goes on from the last whole transaction. README.md says what it relies on.
"""

import hashlib
import os
import random
import sqlite3
import sys
import time
from typing import Any

import httpx
from client import Client, Refused

SCHEMA = """
CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY, version, number, status, total, currency, note, customer);
CREATE TABLE IF NOT EXISTS payments (id TEXT PRIMARY KEY, version, state, amount, currency, reference, customer, "order");
CREATE TABLE IF NOT EXISTS position (cursor)"""
TABLES = {"Order": "orders", "Payment": "payments"}
FIELDS = {  # in the order of the columns
    "Order": "id version number status total { amount } currency note customer { id }",
    # Side by side in one subscription, fields of two types may not have one name and two enums: hence state.
    "Payment": "id version state: status amount { amount } currency reference customer { id } order { id }",
}
KINDS = ["order.*", "payment.*", "customer.erased", "gap.recorded"]
EVENTS = f"""subscription ($after: Cursor, $kinds: [String!]) {{ events(after: $after, kinds: $kinds) {{
    cursor kind transactionId isLast payload
    subject {{ __typename id {" ".join(f"... on {type} {{ {fields} }}" for type, fields in FIELDS.items())} }} }} }}"""
NEWEST = "query ($types: [String!]!) { changesSince(types: $types) { cursor } }"
PAGE = """query ($after: String, $where: TYPEWhere) { page: TABLE(first: 100, after: $after, where: $where, orderBy: [{field: ID}])
    { nodes { FIELDS } pageInfo { hasNextPage endCursor } } }"""
SUMS = (
    "query ($types: [String!]!, $at: Cursor) { streamChecksum(types: $types, at: $at) { type count checksum current } }"
)

COPY_AGAIN = {"CURSOR_EXPIRED", "CURSOR_OF_ANOTHER_HISTORY", "CURSOR_INVALID"}
HOPELESS = {"UNAUTHENTICATED", "FORBIDDEN", "GRAPHQL_VALIDATION_FAILED"}
PAUSE_S, LONGEST_PAUSE_S, PATIENCE_S = 0.5, 30, 60


class Integrator:
    def __init__(self, path: str, client: Client) -> None:
        self.client = client
        self.db = sqlite3.connect(path)
        self.db.execute("PRAGMA journal_mode = WAL")  # others read while this writes
        self.db.executescript(SCHEMA)
        self.pause_s = PAUSE_S

    def run(self) -> None:
        """Follows for ever. Raises `Refused` if it may not."""
        while True:
            try:
                if self.cursor() is None:
                    self.copy()
                self.follow()
            except Refused as error:
                if error.code in HOPELESS:
                    raise
                say(error)
                if error.code in COPY_AGAIN:
                    with self.db:
                        self.db.execute("DELETE FROM position")
            except httpx.HTTPError as error:
                say(f"connection lost: {error!r}")
            time.sleep(self.pause_s * random.uniform(0.5, 1))  # noqa: S311 - else all who were cut off came back at once
            self.pause_s = min(2 * self.pause_s, LONGEST_PAUSE_S)

    def copy(self) -> None:
        """Everything, in one transaction. The cursor comes first, so that what changes meanwhile comes again as an event."""
        cursor = self.client.ask(NEWEST, types=list(TABLES))["changesSince"]["cursor"]
        with self.db:
            for (
                type
            ) in TABLES:  # orders first: what is paid meanwhile may lack its order for a moment, never its payment
                self.fetch(type, {}, "true")
            self.keep(cursor)
        say("copied")

    def follow(self) -> None:
        """Collects events until their transaction is whole, and no record is ahead: has changed since, by an event still to come.

        A transaction's last event may be of a kind that is not followed: then the next transaction tells that it is over,
        or a heartbeat behind it, which is never in the middle of one.
        """
        events: list[dict[str, Any]] = []
        ahead: dict[str, int] = {}
        begun = time.monotonic()
        for cursor, answer in self.client.follow(EVENTS, after=self.cursor(), kinds=KINDS):
            self.pause_s = PAUSE_S
            event = answer["events"] if answer else None
            last = events[-1] if events else None
            if last and event and not ahead and event["transactionId"] != last["transactionId"]:
                self.apply(events, last["cursor"])
                events = []
            if event:
                begun = begun if events else time.monotonic()
                events.append(event)
                look_ahead(event, ahead)
            whole = event["isLast"] if event else not last or last["isLast"] or cursor > last["cursor"]
            if whole and (not ahead or time.monotonic() > begun + PATIENCE_S):
                self.apply(events, cursor)
                events, ahead = [], {}

    def apply(self, events: list[dict[str, Any]], cursor: str) -> None:
        """Without events only the cursor is kept: an old one may expire."""
        with self.db:
            for event in events:
                payload, record = event["payload"], event["subject"] or {}
                type = record.get("__typename")
                if event["kind"] == "gap.recorded" and payload["type"] in TABLES:
                    bounds = {"gte": payload.get("first"), "lte": payload.get("last")}
                    where = {"id": {name: id for name, id in bounds.items() if id}}
                    self.fetch(payload["type"], where, "id BETWEEN ifnull(?, '') AND ifnull(?, '~')", *bounds.values())
                elif event["kind"] == "customer.erased":
                    for each in TABLES:
                        self.fetch(each, {"customer": {"id": {"eq": record["id"]}}}, "customer = ?", record["id"])
                elif type in TABLES:
                    self.put(type, record)
            self.keep(cursor)

    def fetch(self, type: str, where: dict[str, Any], condition: str, *values: str | None) -> None:
        """Replaces some records; `where` and `condition` say which, there and here."""
        self.db.execute(f"DELETE FROM {TABLES[type]} WHERE {condition}", values)
        query = PAGE.replace("TYPE", type).replace("TABLE", TABLES[type]).replace("FIELDS", FIELDS[type])
        after, more = None, True
        while more:
            page = self.client.ask(query, after=after, where=where)["page"]
            for record in page["nodes"]:
                self.put(type, record)
            after, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]

    def put(self, type: str, record: dict[str, Any]) -> None:
        """Twice is like once, and an old version replaces no newer one."""
        values = [plain(value) for name, value in record.items() if name != "__typename"]
        self.db.execute(f"DELETE FROM {TABLES[type]} WHERE id = ? AND version <= ?", values[:2])
        self.db.execute(f"INSERT OR IGNORE INTO {TABLES[type]} VALUES ({', '.join('?' * len(values))})", values)

    def cursor(self) -> str | None:
        return next((row[0] for row in self.db.execute("SELECT cursor FROM position")), None)

    def keep(self, cursor: str) -> None:
        self.db.execute("DELETE FROM position")
        self.db.execute("INSERT INTO position VALUES (?)", (cursor,))

    def check(self) -> bool:
        """Whether the file is equal to the server, once it is up to date; another process is to run meanwhile."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            with self.db:
                self.db.execute("BEGIN")  # all of one moment
                cursor, ours = self.cursor(), {type: self.sums(table) for type, table in TABLES.items()}
            theirs = self.their_sums(cursor) if cursor else None
            if theirs is not None:
                say(f"server: {theirs}\nhere:   {ours}")
                return theirs == ours
            time.sleep(0.2)
        say("The file is not up to date. Is an integrator running?")
        return False

    def their_sums(self, cursor: str) -> dict[str, tuple[int, str]] | None:
        """None while something has happened since the cursor, or it is no good any more."""
        try:
            sums = self.client.ask(SUMS, types=list(TABLES), at=cursor)["streamChecksum"]
        except Refused as error:
            if error.code not in COPY_AGAIN:
                raise
            return None
        except httpx.HTTPError:
            return None
        return (
            {each["type"]: (each["count"], each["checksum"]) for each in sums}
            if all(each["current"] for each in sums)
            else None
        )

    def sums(self, table: str) -> tuple[int, str]:
        """The number of records and their checksum, as docs/howto/sync.md says it."""
        rows = self.db.execute(f"SELECT id || ':' || version FROM {table}").fetchall()
        numbers = (int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") for (text,) in rows)
        return len(rows), f"{sum(numbers) % 2**64:016x}"


def look_ahead(event: dict[str, Any], ahead: dict[str, int]) -> None:
    """Keeps account of records that were newer than their event when it was read."""
    payload, record = event["payload"], event["subject"] or {}
    if (
        event["kind"] == "customer.erased" or payload.get("type") in TABLES
    ):  # is fetched again, with what has no event of its own
        ahead.clear()
    elif record.get("__typename") in TABLES and record["version"] > payload["version"]:
        ahead[record["id"]] = record["version"]
    elif ahead.get(record.get("id"), 0) <= payload.get("version", 0):
        ahead.pop(record.get("id"), None)


def plain(value: Any) -> Any:
    """What stands in `{"amount": "12.50"}`."""
    return next(iter(value.values())) if isinstance(value, dict) else value


def say(what: object) -> None:
    print(what, file=sys.stderr, flush=True)


def main(path: str, *options: str) -> int:
    client = Client(os.environ.get("CRMGQL_URL", "http://127.0.0.1:8000"), os.environ["CRMGQL_KEY"])
    integrator = Integrator(path, client)
    try:
        return not integrator.check() if "--check" in options else integrator.run() or 0
    except Refused as error:
        say(error)
        return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
