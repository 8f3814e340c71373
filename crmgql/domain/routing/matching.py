"""Which sellers fit a lead, by comparing fields of both: `{"match": [{"seller": "attributes.regions", "op": "contains", "lead": "region"}]}`.

Pure. Every pair must fit. A missing value on either side does not fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crmgql.domain.routing import conditions
from crmgql.errors import BadUserInput

SELLER = ("region", "team")
OPS = ("contains", "eq")


@dataclass(frozen=True, slots=True)
class Pair:
    seller: str
    op: str
    lead: str


Match = tuple[Pair, ...]


def parse(raw: Any, *, path: str = "sellerMatch") -> Match:
    """Raises `BadUserInput` with the path of what is wrong."""
    if not isinstance(raw, dict) or raw.keys() - {"match"}:
        raise BadUserInput('Must be {} or {"match": [{"seller": …, "op": …, "lead": …}]}.', field=path)
    listed = raw.get("match", [])
    if not isinstance(listed, list):
        raise BadUserInput("Must be a list of pairs.", field=f"{path}.match")
    return tuple(_pair(item, f"{path}.match.{number}") for number, item in enumerate(listed))


def _pair(raw: Any, path: str) -> Pair:
    if not isinstance(raw, dict) or raw.keys() != {"seller", "op", "lead"}:
        raise BadUserInput('Must be like {"seller": "region", "op": "eq", "lead": "region"}.', field=path)
    seller, op, lead = raw["seller"], raw["op"], raw["lead"]
    own = isinstance(seller, str) and seller.startswith(conditions.ATTRIBUTES) and seller != conditions.ATTRIBUTES
    if not own and seller not in SELLER:
        raise BadUserInput("seller is region, team or attributes.<name>.", field=f"{path}.seller")
    if op not in OPS:
        raise BadUserInput("op is contains or eq.", field=f"{path}.op")
    conditions.check_field(lead, f"{path}.lead", more=frozenset())
    return Pair(seller, op, lead)


def key(match: Match, values: Mapping[str, Any]) -> tuple[Any, ...]:
    """The values of a lead that decide who fits: leads with equal keys fit the same sellers."""
    return tuple(_hashable(values.get(pair.lead)) for pair in match)


def fits(match: Match, seller: Mapping[str, Any], key: tuple[Any, ...]) -> bool:
    """Whether a seller's values (case-folded) fit a lead's key."""
    return all(_fits(pair.op, seller.get(pair.seller), value) for pair, value in zip(match, key, strict=True))


def _fits(op: str, ours: Any, theirs: Any) -> bool:
    if ours is None or theirs is None:
        return False
    if op == "contains" and isinstance(ours, list):
        wanted = theirs if isinstance(theirs, tuple) else (theirs,)
        return any(each in ours for each in wanted)
    return bool(_hashable(ours) == theirs)


def _hashable(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_hashable(item) for item in value)
    return repr(value) if isinstance(value, dict) else value
