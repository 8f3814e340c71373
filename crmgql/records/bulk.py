"""How many records of one model are written at once: new and changed ones, by their external ids.

    customers = Writer(Customer, "customer.created", "customer.updated")
    written = await customers.write_many(act, ("name", "currency"), [("c-1", "Acme", "USD")], source="old-crm")

Imports, jobs and the API write through the same door, by as many statements for one record as for five thousand. Always
holds: a row is written whole or not at all; one that breaks a rule is refused with the reason and the others are written;
each record that is made or changed leaves its event and its audit row in the same transaction. None of it commits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, ClassVar

import asyncpg
import orjson
from tortoise.fields.relational import ForeignKeyFieldInstance
from tortoise.migrations.constraints import CheckConstraint
from tortoise.models import Model

from crmgql import access
from crmgql.errors import BadUserInput, CrmError
from crmgql.events import gaps, outbox
from crmgql.events.outbox import Entry
from crmgql.models.names import api_name
from crmgql.records import checks, records, upserts
from crmgql.records.changes import Change, Refusal, Written
from crmgql.records.records import Act, Row
from crmgql.records.upserts import Upsert

Numbered = tuple[int, list[Any]]
"""A row and its index in the call."""

LONGEST_EXTERNAL_ID = 200
ROW_ERRORS = (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError, asyncpg.RaiseError, CrmError)
"""What a row itself is to blame for; anything else (a lost connection, a full disk) ends the writing."""


@dataclass(slots=True)
class _Batch:
    """The rows of one call, staged."""

    source: str
    columns: Sequence[str]
    rows: list[Numbered]
    upsert: Upsert
    written: Written
    followed: list[Entry] = field(default_factory=list)


class Writer:
    """Writes many records of one model. A chapter extends it where its rows need more than their columns.

    `created` and `updated` are kinds of events; `by_status` the kinds of a change to a status. Without `updated`, what is
    there is never changed. `demands` is the type that one must be allowed to write, where it is not the model itself.
    """

    zero: frozenset[str] = frozenset()
    """Amounts that are zero by default."""

    derived: frozenset[str] = frozenset()
    """Fields that callers can't write because they are computed."""

    filled: frozenset[str] = frozenset()
    """Fields that get a value when they are blank."""

    inherits: tuple[str, ...] = ()
    """References whose record names the customer too, besides those that a composite key says."""

    returned: tuple[str, ...] = ()
    """Columns that events need besides those that are written."""

    reasons: ClassVar[Mapping[str, tuple[tuple[str, ...], str]]] = {}
    """By constraint, of other tables too: the columns at fault and what is wrong with them."""

    stage_index: str | None = None
    """A column of the stage that the statement looks rows up by."""

    def __init__(
        self,
        model: type[Model],
        created: str,
        updated: str | None = None,
        *,
        by_status: Mapping[str, str] | None = None,
        demands: str | None = None,
    ) -> None:
        self.model = model
        self.created = created
        self.updated = updated
        self.by_status = by_status or {}
        self.append_only = updated is None
        self._demands = demands or model.__name__

    async def write_many(
        self,
        act: Act,
        columns: Sequence[str],
        rows: Sequence[Sequence[Any]],
        *,
        source: str,
        mapped: Set[str] | None = None,
        history: bool = False,
        checked: bool = False,
    ) -> Written:
        """Each row is an external id and the values of `columns`, JSON as text.

        `mapped`: the columns that a record may change in that is there already, all unless they are named. `history`: one
        gap event stands for the events of all records; audit rows are written all the same. `checked`: the rows have passed
        `check`. Raises `Forbidden`.
        """
        access.require_write(act.viewer, self._demands)
        access.require_all(act.viewer, self._demands, field="externalId")
        self.demand(act, columns)
        written = Written(refused=[] if checked else self.check(columns, rows))
        bad = {refusal.place for refusal in written.refused}
        numbered = [(number, list(row)) for number, row in enumerate(rows) if number not in bad]
        numbered = await self._referring(act, columns, numbered, written)
        more = self.computed(columns)
        for _, row in numbered:
            values = dict(zip(columns, row[1:], strict=True))
            row += [work(values) for work in more.values()]
        if numbered:
            names = (*columns, *more)
            upsert = self.upsert(names, (set(columns) if mapped is None else mapped) | more.keys())
            await self._write(act, _Batch(source, names, numbered, upsert, written), history)
        written.refused.sort(key=lambda refusal: refusal.place)
        return written

    def check(self, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[Refusal]:
        """The rows with a value that its column can't hold, or with another row's external id. Pure: a thread may do it ahead."""
        known = checks.checkers(self.model)
        objects = {column for column, kind in upserts.fields_by_column(self.model).items() if upserts.is_json(kind)}
        tests = [
            (place, column, _check_object if column in objects else known[column])
            for place, column in enumerate(columns, start=1)
            if known[column] is not checks.accept
        ]
        refused: list[Refusal] = []
        seen: set[str] = set()
        for number, row in enumerate(rows):
            column = "external_id"
            try:
                _check_key(row[0], seen)
                for place, column, test in tests:
                    if (value := row[place]) is not None:
                        test(value, column)
            except BadUserInput as error:
                refused.append(Refusal(number, (column,), f"{column}: {error}"))
        return refused

    def demand(self, act: Act, columns: Sequence[str]) -> None:
        """Raises `Forbidden` for columns that take more than the right to write such records."""

    def computed(self, columns: Sequence[str]) -> Mapping[str, Callable[[Row], Any]]:
        """Columns computed in Python from the row's values."""
        return {}

    def new_values(self, columns: Sequence[str]) -> dict[str, str]:
        """See `upserts.Rules`."""
        return {}

    def changed_values(self, updates: dict[str, str]) -> dict[str, str]:
        """See `upserts.Rules`."""
        return updates

    def quiet_values(self, updates: Set[str]) -> dict[str, str]:
        """See `upserts.Rules`."""
        return {}

    def upsert(self, columns: Sequence[str], mapped: Set[str]) -> Upsert:
        """The statement that writes: where records are known by something else than their external ids, another one."""
        return upserts.upsert(self, columns, mapped)

    async def prepare(self, act: Act, columns: Sequence[str], first: int, last: int) -> Sequence[Entry]:
        """Makes ready what the staged rows with `n` from `first` to `last` refer to. Returns the events of what it changed."""
        return ()

    async def follow(self, act: Act, changes: Sequence[Change]) -> Sequence[Entry]:
        """Updates what depends on the records. Returns the events of other records that this changed.

        Raises a `CrmError` when the records break a rule together: they are then written apart, to find whose fault it is.
        """
        return ()

    async def entries(self, act: Act, changes: Sequence[Change]) -> list[Entry]:
        """The events of the records, one each."""
        return [self.entry(change, *self.kind_of(change)) for change in changes]

    def kind_of(self, change: Change) -> tuple[str, Row]:
        """The kind of a record's event, and its payload besides the version."""
        if change.new or self.updated is None:
            return self.created, {}
        if "status" in change.changes:
            return self.by_status.get(change.row["status"], self.updated), {}
        return self.updated, {}

    def entry(self, change: Change, kind: str, payload: Row) -> Entry:
        """One event about a record, with its audit row."""
        name = self.model.__name__
        customer_id = change.id if name == "Customer" else change.row.get("customer_id")
        return Entry(kind, (name, change.id), customer_id, change.changes, {**change.payload, **payload})

    async def _referring(
        self, act: Act, columns: Sequence[str], rows: list[Numbered], written: Written
    ) -> list[Numbered]:
        """The rows that refer to nothing that is hidden from the viewer."""
        for relation in self.model._meta.fields_map.values():
            if not isinstance(relation, ForeignKeyFieldInstance) or relation.source_field not in columns:
                continue
            related, column = relation.related_model, str(relation.source_field)
            if access.sees_all(act.viewer.who, related.__name__):
                continue  # whether the record is there, the foreign key says
            place = columns.index(column) + 1
            seen = await records.visible_many(act, related, {row[place] for _, row in rows} - {None})
            reason = f"{column}: {records.not_found(related, field=api_name(column))}"
            hidden = {number for number, row in rows if row[place] is not None and row[place] not in seen}
            written.refused += [Refusal(number, (column,), reason) for number in hidden]
            rows = [each for each in rows if each[0] not in hidden]
        return rows

    async def _write(self, act: Act, batch: _Batch, history: bool) -> None:
        await act.tx.connection.execute(upserts.create_stage(self.model, batch.columns, self.stage_index))
        await act.tx.connection.copy_records_to_table(
            upserts.STAGE,
            records=[(n, *row) for n, (_, row) in enumerate(batch.rows)],
            columns=["n", "external_id", *batch.columns],
        )
        await self._apply(act, batch, 0, len(batch.rows) - 1)
        await act.tx.connection.execute(upserts.DROP)
        changes = batch.written.changes
        entries = [*(await self.entries(act, changes) if changes else ()), *batch.followed]
        await outbox.record_many(act.tx, act.viewer, entries, events=not history)
        if history:
            for record in {entry.subject[0]: None for entry in entries}:
                ids = [entry.subject[1] for entry in entries if entry.subject[0] == record]
                reason = f"History was imported from {batch.source}."
                await gaps.record_gap(act.tx, record, reason=reason, first=min(ids), last=max(ids))

    async def _apply(self, act: Act, batch: _Batch, first: int, last: int) -> None:
        """Writes these staged rows; when the database refuses them, halves of them, until the bad ones stand alone."""
        connection = act.tx.connection
        try:
            async with records.savepoint(act):
                # A constraint that waits for the commit would strike when no row can be blamed any more.
                await connection.execute("SET CONSTRAINTS ALL DEFERRED")
                prepared = await self.prepare(act, batch.columns, first, last)
                rows = await connection.fetch(batch.upsert.text, batch.source, act.now, first, last)
                changes = self._changes(batch, rows)
                followed = await self.follow(act, changes) if changes else ()
                await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        except ROW_ERRORS as error:
            if first == last:
                place = batch.rows[first][0]
                batch.written.refused.append(Refusal(place, *self._explained(error)))
                return
            middle = (first + last) // 2
            await self._apply(act, batch, first, middle)
            await self._apply(act, batch, middle + 1, last)
        else:
            batch.written.changes += changes
            batch.followed += [*prepared, *followed]

    def _changes(self, batch: _Batch, rows: Sequence[Any]) -> list[Change]:
        known, names = upserts.fields_by_column(self.model), batch.upsert.compared
        objects = [place for place, name in enumerate(names) if upserts.is_json(known[name])]
        return [_change(row, batch.source, names, objects) for row in rows]

    def _explained(self, error: Exception) -> tuple[tuple[str, ...], str]:
        """The columns at fault, as far as they are known, and the reason."""
        if not isinstance(error, asyncpg.PostgresError):
            field = getattr(error, "field", None)
            return tuple(name for name in upserts.fields_by_column(self.model) if api_name(name) == field), str(error)
        name, detail = str(error.constraint_name or ""), str(error.detail or "")
        if name in self.reasons:
            return self.reasons[name]
        rules = {str(rule.name): str(rule.check) for rule in _constraints(self.model)}
        if isinstance(error, asyncpg.CheckViolationError) and (rule := rules.get(name)):
            return tuple(re.findall(r"\w+", rule)), f"breaks the rule {name}: {rule}"
        if isinstance(error, asyncpg.UniqueViolationError | asyncpg.ForeignKeyViolationError):
            key = re.match(r"Key \((.*?)\)=", detail)
            return tuple(re.findall(r"\w+", key[1] if key else "")), f"breaks the rule {name}: {detail}"
        return (), f"refused by the database: {error}"


def _constraints(model: type[Model]) -> list[CheckConstraint]:
    meta: Any = model.Meta
    return [rule for rule in meta.constraints if isinstance(rule, CheckConstraint)]


def _check_key(key: str, seen: set[str]) -> None:
    checks.check_text(key, "externalId", longest=LONGEST_EXTERNAL_ID)
    if key in seen:
        raise BadUserInput("Another row has the same external id.", field="externalId")
    seen.add(key)


def _check_object(value: str, name: str) -> None:
    checks.check_json(orjson.loads(value), name)


def _change(row: Any, source: str, names: Sequence[str], objects: Sequence[int]) -> Change:
    """What a row of `Upsert` says; `objects` are the places of JSON among the names."""
    count = len(names)
    after, before = list(row[-2 * count : -count]), list(row[-count:])
    differs = [
        was != now for was, now in zip(before, after, strict=True)
    ]  # JSON as text: Python holds true and 1 for equal
    for place in objects:
        after[place], before[place] = _loaded(after[place]), _loaded(before[place])
    if row["is_new"]:
        made = {name: (None, value) for name, value in zip(names, after, strict=True) if value is not None}
        return Change(row["id"], True, row, {"source": (None, source), **made})
    pairs = zip(names, before, after, differs, strict=True)
    return Change(row["id"], False, row, {name: (was, now) for name, was, now, changed in pairs if changed})


def _loaded(text: str | None) -> Any:
    return None if text is None else orjson.loads(text)
