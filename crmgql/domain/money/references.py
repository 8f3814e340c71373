"""References in what people write when they pay: `Rechnung INV 2026/0007`, `订单SO2026001付款`, `inv2026-00 07`. Pure.

A text is cut into pieces of digits and of letters. A reference is found where successive pieces make it up, whatever stands
between them; so `INV-7` is not found in `INV-77`, nor in `PREINV-7`, but with each spelling of its own.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container

PIECE = re.compile(r"[0-9]+|[A-Z]+|[^\W\d_A-Z]+")
GAP = re.compile(r"[\s\-/._:#]{0,2}")
"""What may stand inside a reference. A comma may not: it stands between two."""

MOST_PIECES = 1000
LONGEST = 10
"""In pieces."""

DISTINCT = 6
"""Characters from which on a reference with a digit in it is no accident: `1042` may be a house number."""


def normal(text: str) -> str:
    """The reference as it is compared: `inv-2026/0007` → `INV20260007`."""
    return "".join(PIECE.findall(_plain(text)))


def is_distinct(reference: str) -> bool:
    """Whether a normal form says by itself what is meant."""
    return len(reference) >= DISTINCT and any(letter.isdigit() for letter in reference)


def find(text: str, known: Container[str]) -> list[str]:
    """The known normal forms in the text, in its order, the longest wherever two overlap."""
    plain = _plain(text)
    pieces = [(piece.start(), piece.end()) for piece in PIECE.finditer(plain)][:MOST_PIECES]
    found = []
    for first, (start, _) in enumerate(pieces):
        joined = ""
        for n, (piece_start, piece_end) in enumerate(pieces[first : first + LONGEST]):
            if n and not GAP.fullmatch(plain, pieces[first + n - 1][1], piece_start):
                break
            joined += plain[piece_start:piece_end]
            if joined in known:
                found.append((start, piece_end, joined))
    return _apart(found)


def _apart(found: list[tuple[int, int, str]]) -> list[str]:
    kept: list[tuple[int, int, str]] = []
    for start, end, reference in sorted(found, key=lambda each: (-len(each[2]), each[0])):
        if all(end <= other[0] or other[1] <= start for other in kept):
            kept.append((start, end, reference))
    return list(dict.fromkeys(reference for _, _, reference in sorted(kept)))


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).upper()
