"""Numbers as files write them. Pure, exact, never a float."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal

LONGEST = 60


def reader(point: str, group: str) -> Callable[[str], Decimal]:
    """Reads decimals with that point. Groups of thousands are optional but must be groups of three. Raises ValueError."""
    dot, comma = re.escape(point), re.escape(group)
    whole = f"(?:[0-9]{{1,3}}(?:{comma}[0-9]{{3}})+|[0-9]+)" if group else "[0-9]+"
    pattern = re.compile(f"[+-]?(?:{whole}(?:{dot}[0-9]*)?|{dot}[0-9]+)")

    def read(text: str) -> Decimal:
        if len(text) > LONGEST or not pattern.fullmatch(text):
            expected = f"decimal {point!r}" + (f", thousands {group!r}" if group else "")
            raise ValueError(f"{short(text)} is not a number ({expected})")
        if group:
            text = text.replace(group, "")
        return Decimal(text if point == "." else text.replace(point, "."))

    return read


def short(text: str) -> str:
    """The text in quotes, cut for a message."""
    return repr(text if len(text) <= 60 else text[:57] + "...")
