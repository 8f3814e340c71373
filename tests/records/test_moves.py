"""State machines: what a move sets, and what is said of one that can't be made."""

from __future__ import annotations

from typing import Any

import pytest

from crmgql.errors import IllegalTransition
from crmgql.models import Ticket
from crmgql.records.moves import Move, Moves
from tests.conftest import NOW

MOVES = Moves(
    Ticket,
    open=Move({"SHUT", "AJAR"}, "OPEN", "ticket.opened", "opened_at"),
    shut=Move({"OPEN"}, "SHUT", "ticket.shut"),
    paint=Move({"SHUT", "AJAR", "OPEN"}),
)


def test_what_a_move_sets() -> None:
    assert MOVES.check("open", {"status": "AJAR"}).changes(NOW) == {"status": "OPEN", "opened_at": NOW}
    assert MOVES.check("shut", {"status": "OPEN"}).changes(NOW) == {"status": "SHUT"}


@pytest.mark.parametrize(
    ("verb", "status", "words", "message"),
    [
        ("shut", "AJAR", {}, "This ticket is AJAR; to shut it, it must be OPEN."),
        ("open", "OPEN", {}, "This ticket is OPEN; to open it, it must be AJAR or SHUT."),
        ("paint", "GONE", {}, "This ticket is GONE; to paint it, it must be AJAR, OPEN or SHUT."),
        ("shut", "SHUT", {"to": "become SHUT"}, "This ticket is SHUT; to become SHUT, it must be OPEN."),
        ("shut", "AJAR", {"hint": "Push."}, "This ticket is AJAR; to shut it, it must be OPEN. Push."),
    ],
)
def test_what_is_said_of_one_that_can_not_be_made(verb: str, status: str, words: dict[str, Any], message: str) -> None:
    with pytest.raises(IllegalTransition) as caught:
        MOVES.check(verb, {"status": status}, **words)
    assert (caught.value.message, caught.value.field) == (message, "id")


def test_the_field_of_one_that_can_not_be_made() -> None:
    with pytest.raises(IllegalTransition) as caught:
        MOVES.check("shut", {"status": "SHUT"}, field="ticketId")
    assert caught.value.field == "ticketId"
