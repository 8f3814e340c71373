"""What was sent to jam the doors: requests that cost their sender little and the server much, as bytes for the wire.

Each is a kind: the builders take a number, so that no two requests are the same text unless that is the attack.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

STRANGER, VIEWER = "a stranger", "a logged-in user"

INTROSPECTION = "__schema { types { name fields { name type { name } args { name type { name } } } } }"
LOGIN = 'login(input: {email: "a@example.com", password: "%s"}) { userErrors { code } }'


@dataclass(frozen=True)
class Attack:
    """`make(number)` gives the pieces of a request, sent one after the other with `pause_s` between them."""

    name: str
    who: str
    make: Callable[[int], list[bytes]]
    clients: int = 1
    pause_s: float = 0.0

    @property
    def allowed_ms(self) -> float:
        """How long another client may wait at the most."""
        return 100 if self.who == STRANGER else 250


def attacks(token: str, ruleset: str) -> Iterator[Attack]:
    """All of them; the token is the attacker's."""

    def graphql(value: Any, *, known: bool = False) -> list[bytes]:
        return [post("/graphql", json.dumps(value).encode(), token if known else None)]

    aliases = " ".join(f"a{number}: {INTROSPECTION}" for number in range(40))
    yield Attack("40 aliases of introspection", STRANGER, lambda n: graphql({"query": f"{{ {aliases} }} # {n}"}))
    ten = [{"query": f"{{ {INTROSPECTION} }}"}] * 10
    yield Attack("ten introspections in a batch", STRANGER, lambda n: graphql(ten))
    yield Attack(
        "one introspection after the other", STRANGER, lambda n: graphql({"query": f"{{ {INTROSPECTION} }} # {n}"})
    )
    lists = b'{"query":"{ __typename }","variables":{"a":[' + b",".join([b"[]"] * 340_000) + b"]}}"
    yield Attack("1 MB of empty lists as variables", STRANGER, lambda n: [post("/graphql", lists)], clients=8)
    yield Attack("the same with a token", VIEWER, lambda n: [post("/graphql", lists, token)], clients=8)
    for who, known in ((STRANGER, False), (VIEWER, True)):
        yield Attack(
            "batches of ten documents that repeat a nested field 50 times",
            who,
            lambda n, known=known: graphql([{"query": repeated(n * 10 + at)} for at in range(10)], known=known),
            clients=8,
        )
        yield Attack(
            "batches of ten documents of 49 aliases",
            who,
            lambda n, known=known: graphql([{"query": aliased(n * 10 + at)} for at in range(10)], known=known),
            clients=8,
        )
    yield Attack("documents of 7.9 kB that are refused", STRANGER, lambda n: graphql({"query": refused(n)}), clients=4)
    yield Attack("the same with a token", VIEWER, lambda n: graphql({"query": refused(n)}, known=True), clients=4)
    yield Attack("bodies that stop after 1 MB", STRANGER, lambda n: stopping(None), clients=200, pause_s=30)
    yield Attack("the same with a token", VIEWER, lambda n: stopping(token), clients=200, pause_s=30)
    yield Attack("bodies that drip", STRANGER, lambda n: dripping(), clients=200, pause_s=0.2)
    logins = " ".join(f"a{number}: {LOGIN % number}" for number in range(49))
    yield Attack(
        "batches of ten times 49 logins",
        STRANGER,
        lambda n: graphql([{"query": f"mutation {{ {logins} }}"}] * 10),
        clients=2,
    )
    yield Attack(
        "wrong logins, one by one", STRANGER, lambda n: graphql({"query": f"mutation {{ {LOGIN % n} }}"}), clients=4
    )
    yield Attack(
        "API keys that nobody has",
        STRANGER,
        lambda n: [post("/graphql", b'{"query":"{ me { id } }"}', f"crm_{n:043}")],
        clients=8,
    )
    yield Attack(
        "intake posts with keys that nobody has",
        STRANGER,
        lambda n: [post("/intake/leads", b'{"name":"A"}', None, f"X-Intake-Key: crmin_{n}")],
        clients=8,
    )
    sums = " ".join(f"a{number}: orderLines {{ totalCount sums {{ amount {{ amount }} }} }}" for number in range(50))
    yield Attack(
        "batches of ten times 50 sums over all order lines",
        VIEWER,
        lambda n: graphql([{"query": f"{{ {sums} }}"}] * 10, known=True),
        clients=8,
    )
    few = " ".join(f"a{number}: orderLines {{ totalCount sums {{ amount {{ amount }} }} }}" for number in range(8))
    yield Attack(
        "eight sums over all order lines", VIEWER, lambda n: graphql({"query": f"{{ {few} }}"}, known=True), clients=8
    )
    tries = " ".join(
        f'a{number}: routingDryRun(rulesetId: "{ruleset}", lastN: 1000) {{ changed }}' for number in range(5)
    )
    yield Attack(
        "batches of ten times five dry runs of routing",
        VIEWER,
        lambda n: graphql([{"query": f"{{ {tries} }}"}] * 10, known=True),
        clients=2,
    )
    values = {"w": {"or": [{"name": {"eq": str(number)}} for number in range(3300)]}}
    asked = {"query": "query($w: CustomerWhere) { customers(where: $w) { totalCount } }", "variables": values}
    yield Attack("10,000 values in variables", VIEWER, lambda n: graphql(asked, known=True), clients=8)
    for path in ("/readyz", "/metrics"):
        yield Attack(path, STRANGER, lambda n, path=path: [get(path)], clients=4)
    long = "Authorization: Bearer " + "x" * 300_000
    yield Attack("300 kB as a token", STRANGER, lambda n: [get("/graphql", long)], clients=8)
    lines = [{"productId": f"prd_{number:032}", "quantity": "1"} for number in range(3200)]
    order = {"i": {"customerId": f"cus_{0:032}", "lines": lines}}
    made = {
        "query": "mutation($i: OrderCreateInput!) { orderCreate(input: $i) { userErrors { code } } }",
        "variables": order,
    }
    yield Attack("10,000 values in a mutation", VIEWER, lambda n: graphql(made, known=True), clients=8)


def get(path: str, *more: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost", *more]).encode() + b"\r\n\r\n"


def post(path: str, body: bytes, token: str | None = None, *more: str, length: int | None = None) -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {len(body) if length is None else length}",
        *more,
    ]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def repeated(number: int) -> str:
    again = "orders(first: 1) { nodes { id number status } } " * 50
    return f"query A{number} {{ customers(first: 1) {{ nodes {{ {again} }} }} }}"


def aliased(number: int) -> str:
    fields = " ".join(
        f"a{at}: customers(first: 1) {{ nodes {{ id name orders(first: 1) {{ nodes {{ id total {{ amount }} }} }} }} }}"
        for at in range(49)
    )
    return f"query A{number} {{ {fields} }}"


def refused(number: int) -> str:
    return f"query A{number} {{ customers {{ nodes {{ " + " ".join(f"nope{at}" for at in range(1000)) + " } } }"


def stopping(token: str | None) -> list[bytes]:
    """All but the last byte of 1 MB, and then nothing."""
    return [post("/graphql", b" " * 1_000_000, token, length=1_000_001), b""]


def dripping() -> list[bytes]:
    return [post("/graphql", b"{", length=1000), *[b" "] * 200]
