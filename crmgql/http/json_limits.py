"""How much a JSON text holds, found before anything is made of it: counting bytes is a hundred times faster than walking.

Enters: the bytes of a body. Leaves: nothing, or `Refused`. Pure.
"""

from __future__ import annotations

import re
from itertools import accumulate

from crmgql.http.refusals import Refused, bad

MAX_NESTING = 64
MAX_VALUES = 10_000
"""Values, list items and entries of objects, counted on every level: making and coercing them takes time. An order of 500
lines with all that a line may have is 7,000."""

STRANGERS_VALUES = 1000
"""The same for who shows no token: enough to log in with."""

STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
"""A string that does not end ends with the text, and nothing is tried twice (`*+`): else each of its escaped quotes would be
taken for the start of another one, in a time that grows with their square."""

BRACKETS = bytes.maketrans(b"[{]}", b"++--")
NO_BRACKETS = bytes(each for each in range(256) if each not in b"[]{}")
STEPS = {ord("+"): 1, ord("-"): -1}


def check(body: bytes, *, most: int) -> None:
    """Raises `Refused` for a text with more than `most` values, or nested deeper than `MAX_NESTING`."""
    brackets = body.count(b"{") + body.count(b"[")
    if brackets <= MAX_NESTING and brackets + body.count(b",") <= most:
        return  # nearly always, whatever the strings hold
    # At least so many strings are keys and values: of so many, not even the strings are looked for.
    if (body.count(b'"') - body.count(b'\\"')) // 2 > 2 * most:
        raise _too_many(most)
    plain = STRING.sub(b"", body)
    if plain.count(b",") + plain.count(b"{") + plain.count(b"[") > most:
        raise _too_many(most)
    if _depth(plain) > MAX_NESTING:
        raise bad(f"The body is nested too deeply; {MAX_NESTING} levels are allowed.")


def _depth(plain: bytes) -> int:
    """Levels of lists and objects inside each other, in a text without strings."""
    brackets = plain.translate(BRACKETS, NO_BRACKETS)
    return max(accumulate(STEPS[each] for each in brackets), default=0)


def _too_many(most: int) -> Refused:
    return bad(f"The body has more than {most} values.")
