"""Which events somebody follows: kinds, and fields whose change counts. Pure: everything that hands out events asks here.

    triggers.of(["order.*", "payment.received"], ["total", "status"]).match(kind, changed)

- A kind is a whole name, or a noun with a star for all of its kinds, those that are declared later included. None: all.
- Fields are named as the API and `changed` of an event name them, of whichever record. None: any change counts.
- What changed no field (a gap, an erasure, a login) is never held back by fields: who keeps a copy needs it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from crmgql.errors import BadUserInput
from crmgql.events import kinds, outbox
from crmgql.models.names import api_name

MOST = 100
"""Of kinds, and of fields."""

STAR = ".*"


@dataclass(frozen=True, slots=True)
class Triggers:
    """`names` are whole names of kinds, `nouns` those of which every kind counts. Both empty: all kinds."""

    names: frozenset[str] = frozenset()
    nouns: frozenset[str] = frozenset()
    fields: frozenset[str] = frozenset()

    def match(self, kind: str, changed: Collection[str]) -> bool:
        """Whether an event of this kind, which changed these fields, counts."""
        return self.match_kind(kind) and self.match_fields(changed)

    def match_kind(self, kind: str) -> bool:
        if not self.names and not self.nouns:
            return True
        return kind in self.names or kind.partition(".")[0] in self.nouns

    def match_fields(self, changed: Collection[str]) -> bool:
        return not self.fields or not changed or not self.fields.isdisjoint(changed)

    def kinds(self) -> frozenset[str] | None:
        """The kinds that are declared in this process and count, to look for; None: all."""
        if not self.names and not self.nouns:
            return None
        return self.names | {name for name in kinds.KINDS if self.match_kind(name)}


def of(kinds: Iterable[str], fields: Iterable[str] = ()) -> Triggers:
    """The triggers as they are written. What `check` refuses matches nothing."""
    written = frozenset(kinds)
    nouns = frozenset(each.removesuffix(STAR) for each in written if each.endswith(STAR))
    names = frozenset(each for each in written if not each.endswith(STAR))
    return Triggers(names, nouns, frozenset(fields))


def check(kinds: Sequence[str], fields: Sequence[str] = (), *, names: tuple[str, str] = ("kinds", "fields")) -> None:
    """Raises `BadUserInput` for a kind that there is not, and for a field that no record of these kinds has.

    `names` are what the input calls the two.
    """
    for given, name in zip((kinds, fields), names, strict=True):
        if len(given) > MOST:
            raise BadUserInput(f"Has {len(given)} items; at most {MOST} fit.", field=name)
    for index, kind in enumerate(kinds):
        _check_kind(kind, f"{names[0]}.{index}")
    known = _fields(of(kinds))
    for index, field in enumerate(fields):
        if field not in known:
            message = f"No record that these kinds are about has a field {_shown(field)}{_near(field, known)}."
            raise BadUserInput(message, field=f"{names[1]}.{index}")


def _check_kind(kind: str, name: str) -> None:
    nouns = {each.partition(".")[0] for each in kinds.KINDS}
    if kind in kinds.KINDS or (kind.endswith(STAR) and kind.removesuffix(STAR) in nouns):
        return
    near = _near(kind, [*kinds.KINDS, *(noun + STAR for noun in nouns)])
    raise BadUserInput(
        f"There is no kind of event {_shown(kind)}{near}. A kind is order.confirmed, all of a noun's are order.*.",
        field=name,
    )


def _fields(triggers: Triggers) -> frozenset[str]:
    """What the records that the kinds are about may say that they changed."""
    about = {kind.subject for name, kind in kinds.KINDS.items() if triggers.match_kind(name)}
    return frozenset(api_name(column) for record in about for column in outbox.columns_of(record))


def _near(given: str, known: Iterable[str]) -> str:
    found = get_close_matches(given[:60], list(known), 1)
    return f"; did you mean {found[0]}?" if found else ""


def _shown(text: str) -> str:
    return ascii(text[:60])
