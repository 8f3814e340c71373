"""State machines: what a move sets, and what is said of one that can't be made."""

from __future__ import annotations

import pytest

from crmgql.errors import IllegalTransition
from crmgql.records.moves import Move, Moves
from tests.conftest import NOW

DOORS = Moves("door", open=Move({"SHUT", "AJAR"}, "OPEN", "door.opened", "opened_at"), shut=Move({"OPEN"}, "SHUT", "x"))


def test_what_a_move_sets() -> None:
    assert DOORS.check("open", {"status": "AJAR"}).changes(NOW) == {"status": "OPEN", "opened_at": NOW}
    assert DOORS.check("shut", {"status": "OPEN"}).changes(NOW) == {"status": "SHUT"}


def test_what_is_said_of_one_that_can_not_be_made() -> None:
    with pytest.raises(IllegalTransition) as caught:
        DOORS.check("open", {"status": "OPEN"})
    assert caught.value.message == "This door is OPEN; to open it, it must be AJAR or SHUT."
    assert caught.value.field == "id"
    other = Moves("door", refusal="A {status} {noun} can't {verb}; only {sources}.", joined=", ", **DOORS.moves)
    with pytest.raises(IllegalTransition, match=r"^A OPEN door can't open; only AJAR, SHUT\.$"):
        other.check("open", {"status": "OPEN"})
