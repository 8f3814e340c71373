"""Verbs for records without rules of their own: create, update, archive.

    update_action = plain.update(KeyAction, FACTS, kind="keyAction.updated")

They do what every verb does: they require the permission, apply row rules, versions and constraints, check that the viewer
may see the records that are referred to, and record the event with its audit row. An amount has rules by its currency: a
record with one needs a verb of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from tortoise.fields.relational import ForeignKeyFieldInstance
from tortoise.models import Model

from crmgql import access
from crmgql.errors import DeclarationError, IllegalTransition
from crmgql.models import names
from crmgql.models.base import AmountField
from crmgql.records import records
from crmgql.records.columns import ORIGIN, takes
from crmgql.records.records import Act, Conflicts

Verb = Callable[..., Awaitable[UUID]]


def create(model: type[Model], facts: str, *, kind: str, conflicts: Conflicts | None = None) -> Verb:
    """A verb that makes a record from these columns and returns its id."""

    @takes(model, _without_amounts(model, facts), ORIGIN)
    async def verb(act: Act, **values: Any) -> UUID:
        access.require_write(act.viewer, model.__name__)
        await _check_references(act, model, values)
        row = await records.create(act, model, values, kind=kind, conflicts=conflicts)
        return row["id"]  # type: ignore[no-any-return]

    return _named(verb, "create", model)


def update(model: type[Model], facts: str, *, kind: str, conflicts: Conflicts | None = None) -> Verb:
    """A verb that changes those of these columns that the call names."""

    @takes(model, _without_amounts(model, facts))
    async def verb(act: Act, *, id: UUID, expected_version: int | None = None, **changes: Any) -> UUID:
        access.require_write(act.viewer, model.__name__)
        row = await records.lock(act, model, id, expected_version=expected_version)
        await _check_references(act, model, {name: value for name, value in changes.items() if value != row[name]})
        await records.change(act, model, row, changes, kind=kind, conflicts=conflicts)
        return id

    return _named(verb, "update", model)


def archive(model: type[Model], *, kind: str) -> Verb:
    """A verb that archives a record for good: sets `archived_at`. Raises `IllegalTransition` for an archived one."""

    async def verb(act: Act, *, id: UUID, expected_version: int | None = None) -> UUID:
        access.require_write(act.viewer, model.__name__)
        row = await records.lock(act, model, id, expected_version=expected_version)
        if row["archived_at"] is not None:
            raise IllegalTransition(f"The {records.noun(model)} is archived already.", field="id")
        await records.change(act, model, row, {"archived_at": act.now}, kind=kind)
        return id

    return _named(verb, "archive", model)


def _without_amounts(model: type[Model], facts: str) -> str:
    for name in facts.split():
        if f"{name}_amount" in model._meta.fields_map or isinstance(model._meta.fields_map.get(name), AmountField):
            raise DeclarationError(f"{model.__name__}.{name} is an amount, which has rules; write a verb for it.")
    return facts


async def _check_references(act: Act, model: type[Model], values: records.Row) -> None:
    """Raises `NotFound` if a record that is referred to does not exist or is hidden from the viewer."""
    for relation in model._meta.fields_map.values():
        if (
            isinstance(relation, ForeignKeyFieldInstance)
            and values.get(column := str(relation.source_field)) is not None
        ):
            await records.visible(act, relation.related_model, values[column], field=names.api_name(column))


def _named(verb: Verb, name: str, model: type[Model]) -> Verb:
    """The verb with this name, for error messages."""
    verb.__name__ = name
    verb.__qualname__ = f"{name}({model.__name__})"
    return verb
