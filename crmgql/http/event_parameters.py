"""What `GET /events` is asked for: its query string → `Asked`, or a refusal that says what is wrong. Pure.

Always holds: what was asked for can be written down again as the address of what comes next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

from crmgql.access import ENTRIES
from crmgql.domain.streams.subscriptions import LONGEST_FILTER
from crmgql.engine import registered
from crmgql.engine.followed import FOLLOWED
from crmgql.engine.operations import Request
from crmgql.events.kinds import KINDS
from crmgql.http import plain_events, requests
from crmgql.http.exchange import encoded
from crmgql.http.json_limits import MAX_VALUES
from crmgql.http.refusals import Refused, bad
from crmgql.planner.metadata import Node

ALWAYS = frozenset(("Event", "Customer", "User"))
"""What every event names besides its subject."""

MOST = 500
"""Events of a page."""

LONGEST_WAIT_S = 30.0
MOST_TURNS = 1_000_000_000
LONGEST_QUERY_STRING = 4 * LONGEST_FILTER
"""Each byte of a filter may be written as three."""

OWN = ("kinds", "fields", "where")
"""What a named subscription says itself."""

KNOWN = frozenset(("after", "stream", *OWN, "first", "wait", "turn"))


@dataclass(frozen=True, slots=True)
class Asked:
    """The parameters. `stream`: the id or name of a subscription. `first` is None if it was left out: a stream of events has no end
    then. `turn`: how often there was nothing yet."""

    after: str | None
    stream: str | None
    kinds: list[str]
    fields: list[str]
    where: dict[str, Any] | None
    first: int | None
    wait_s: float
    turn: int

    def about(self, event: Node) -> frozenset[str] | None:
        """The types that decide the answer; None: perhaps all. Raises `BadUserInput`."""
        if self.stream is not None or self.looks_further(event):
            return None
        kinds = FOLLOWED["events"].wanted({"kinds": self.kinds, "fields": self.fields}).triggers.kinds()
        if kinds is None:
            return None
        return frozenset(KINDS[each].subject for each in kinds if KINDS[each].subject in ENTRIES) | ALWAYS

    def looks_further(self, event: Node) -> bool:
        """Whether the filter compares records, which change, besides what an event itself says for ever."""
        return any(registered.related(self.where, event))

    def request(self, remote: str | None) -> Request:
        """The subscription of GraphQL that answers it."""
        if self.stream is not None:
            return Request(plain_events.NAMED, variables={"id": self.stream}, remote=remote, resume=self.after)
        variables: dict[str, Any] = {"kinds": self.kinds or None, "fields": self.fields or None}
        if self.where is None:
            return Request(plain_events.DOCUMENT, variables=variables, remote=remote, resume=self.after)
        text = encoded(self.where)
        values = text.count(b",") + text.count(b"[") + text.count(b"{")
        variables["where"] = self.where
        return Request(plain_events.FILTERED, variables=variables, remote=remote, resume=self.after, values=values)

    def query(self, after: str, *, turn: int, stream: str | None) -> str:
        """The same, from another cursor; `stream` is the id of what was named."""
        given = {
            "after": after,
            "stream": stream or "",
            "kinds": ",".join(self.kinds),
            "fields": ",".join(self.fields),
            "where": "" if self.where is None else encoded(self.where).decode(),
            "first": str(self.first or ""),
            "wait": f"{self.wait_s:g}" if self.wait_s else "",
            "turn": str(turn or ""),
        }
        return urlencode({name: value for name, value in given.items() if value}, safe=",.*")


def read(text: bytes) -> Asked:
    """The parameters of a query string. Raises `Refused`."""
    given = _given(text)
    stream = given.get("stream")
    if stream is not None and (owns := [name for name in OWN if name in given]):
        raise bad(f"{owns[0]} and stream don't go together: a subscription has its own kinds, fields and filter.")
    first = given.get("first")
    return Asked(
        given.get("after"),
        stream,
        _listed(given.get("kinds")),
        _listed(given.get("fields")),
        _where(given.get("where")),
        None if first is None else int(_number("first", first, 1, MOST)),
        _number("wait", given.get("wait", "0"), 0, LONGEST_WAIT_S),
        int(_number("turn", given.get("turn", "0"), 0, MOST_TURNS)),
    )


def _given(text: bytes) -> dict[str, str]:
    if len(text) > LONGEST_QUERY_STRING:
        raise bad(f"The query string is too long; {LONGEST_QUERY_STRING} bytes are allowed.")
    try:
        pairs = parse_qsl(text.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=20)
    except ValueError:  # UnicodeDecodeError is one
        raise bad("The query string is not percent-encoded UTF-8, or has too many parameters.") from None
    given = dict(pairs)
    if len(given) != len(pairs):
        raise bad("A parameter of the query string comes more than once; kinds and fields are separated by commas.")
    if unknown := given.keys() - KNOWN:
        message = "there are after, stream, kinds, fields, where, first and wait."
        raise bad(f"There is no parameter {min(unknown)[:40]!r}: {message}")
    if given.get("stream") == "":
        raise bad("stream is empty: name a subscription, or leave it out for all events that you see.")
    return {name: value for name, value in given.items() if value}


def _where(text: str | None) -> dict[str, Any] | None:
    """A filter; one without conditions is none."""
    if text is None:
        return None
    if len(text.encode()) > LONGEST_FILTER:
        raise bad(f"where is too large; {LONGEST_FILTER} bytes of JSON are allowed.")
    try:
        value = requests.decode(text.encode(), most=MAX_VALUES)
    except Refused:
        value = None
    if not isinstance(value, dict):
        raise bad('where must be a JSON object, such as {"kind": {"startsWith": "order."}}, not nested too deeply.')
    return value or None


def _listed(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _number(name: str, text: str, least: float, most: float) -> float:
    try:
        number = float(text) if name == "wait" else int(text)
    except ValueError:
        number = least - 1
    if not least <= number <= most:
        raise bad(f"{name} must be a number from {least:g} to {most:g}.")
    return number
