"""Columns that are worked out in Python from other fields of the row: what duplicates of leads are found by.

Enters: a noun and where its mapped fields stand in the record. Leaves: further fields with their readers. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from crmgql.domain.leads import lead_contacts
from crmgql.imports.nouns import Field, Kind

Read = Callable[[list[str], list[Any]], Any]


@dataclass(frozen=True)
class Derived:
    """Left alone unless a field of `by` is mapped. `work` takes the values of `by` and `also`; one not mapped is None."""

    column: str
    work: Callable[..., str | None]
    by: tuple[str, ...]
    also: tuple[str, ...] = ()


DERIVED = {
    "leads": (
        Derived("normal_email", lead_contacts.email, ("email",)),
        Derived("normal_phone", lead_contacts.phone, ("phone",), ("country",)),
        Derived("domain", lead_contacts.domain, ("email", "website")),
    )
}


def fields(noun: str, places: Mapping[str, int]) -> Iterator[tuple[Field, Read]]:
    """`places`: where in the record each mapped field stands; it is read before these are."""
    for each in DERIVED.get(noun, ()):
        if any(name in places for name in each.by):
            indexes = [places.get(name) for name in (*each.by, *each.also)]
            yield Field(each.column, each.column, Kind.TEXT, null=True), _reader(each, indexes)


def _reader(derived: Derived, indexes: list[int | None]) -> Read:
    def read(row: list[str], record: list[Any]) -> str | None:
        return derived.work(*(None if index is None else record[index] for index in indexes))

    return read
