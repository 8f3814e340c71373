"""A step bound to its file's columns and its noun's fields: everything that can be wrong in a mapping is found here.

Enters: a `Mapping`. Leaves: one `Plan` per step, whose `convert` turns cells into a record. Nothing is written yet.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NoReturn

from crmgql.errors import SetupError
from crmgql.imports import cells, nouns, placeholders, reader
from crmgql.imports.mapping import FieldSpec, Lookup, Mapping, Step
from crmgql.imports.nouns import Field, Kind, Noun
from crmgql.imports.placeholders import Render, Template
from crmgql.imports.sections import suggest

Record = list[Any]


@dataclass(frozen=True)
class Reference:
    """A column of the record that holds a key until it is resolved. `inherited`: its record names the customer too."""

    field: Field
    index: int
    label: str
    by: str
    source: str
    inherited: bool

    @property
    def table(self) -> str:
        return str(self.field.target)


@dataclass(frozen=True)
class BoundJoin:
    """A join of a step: `columns` of the lookup are put behind the row's own cells."""

    lookup: Lookup
    columns: tuple[str, ...]
    key: Render
    label: str
    missing: str


@dataclass(frozen=True)
class Plan:
    """`fields` are the record's columns after the external id; `mapped` those that an update may touch.

    `customer` is where the customer stands in the record when it may come from another reference of the row. `labels`
    are the file's columns behind each field. `key_joined`: the external id needs a lookup. `when`: blank for a row that is
    none of the step's.
    """

    step: Step
    noun: Noun
    key: Render
    key_label: str
    joins: tuple[BoundJoin, ...]
    fields: tuple[Field, ...]
    mapped: frozenset[str]
    readers: tuple[cells.Read, ...]
    references: tuple[Reference, ...]
    customer: int | None
    labels: tuple[str, ...]
    key_joined: bool
    when: Render | None = None

    def convert(self, row: list[str], key: str) -> Record:
        """The record of a row: the external id, then the fields. Raises Rejected."""
        record: Record = [key]
        for read in self.readers:
            record.append(read(row, record))
        for currency, amounts in self.optional_currencies:
            if all(record[amount] is None for amount in amounts):
                record[currency] = None
        return record

    @cached_property
    def optional_currencies(self) -> list[tuple[int, list[int]]]:
        """Currencies that may be null, which they are when none of their amounts is there."""
        places = list(enumerate(self.fields, start=1))
        codes = self.noun.currency_fields
        return [
            (index, [amount for amount, other in places if other.currency == field.name])
            for index, field in places
            if field.null and field.name in codes
        ]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a record after the external id."""
        return tuple(field.column for field in self.fields)

    @property
    def own_references(self) -> tuple[Reference, ...]:
        """References into the step's own table: the row they mean may come later in the same file."""
        return tuple(reference for reference in self.references if reference.table == self.noun.name)


def used_columns(mapping: Mapping, lookup: Lookup) -> tuple[str, ...]:
    """The columns of a lookup that any step uses, in its file's order: no other is kept."""
    used: set[str] = set()
    for step in mapping.steps:
        for template in (step.external_id, *(item for spec in step.fields for item in spec.all_templates)):
            used.update(template.columns)
    return tuple(column for column in reader.header(lookup.file) if f"{lookup.name}.{column}" in used)


class _Binder:
    def __init__(self, mapping: Mapping, step: Step) -> None:
        self.mapping = mapping
        self.step = step
        self.noun = nouns.noun(step.noun)
        self.positions = {name: index for index, name in enumerate(reader.header(step.file))}

    def fail(self, key: str, message: str) -> NoReturn:
        raise SetupError(f"{self.mapping.path}: [step {self.step.name}] {key}: {message}")

    def check(self, key: str, template: Template, names: Iterable[str]) -> None:
        known = list(names)
        for column in template.columns:
            if column not in known:
                self.fail(key, f"{self.step.file.label} has no column {column!r}; {suggest(column, known)}")

    def key(self, key: str, template: Template) -> Render:
        if template.constant is not None:
            self.fail(key, f"{template.source!r} is the same for every row; write a template such as '{{column}}'")
        self.check(key, template, self.positions)
        return placeholders.bind(template, self.positions, self.step.blanks, whole=True)

    def joins(self) -> tuple[BoundJoin, ...]:
        lookups = {lookup.name: lookup for lookup in self.mapping.lookups}
        bound: list[BoundJoin] = []
        for join in self.step.joins:
            if join.lookup not in lookups:
                self.fail(f"joins.{join.lookup}", f"no [[lookup]] has this name; {suggest(join.lookup, lookups)}")
            lookup = lookups[join.lookup]
            key = self.key(f"joins.{join.lookup}", join.key)
            columns = used_columns(self.mapping, lookup)
            bound.append(BoundJoin(lookup, columns, key, ", ".join(join.key.columns), join.missing))
        self._check_columns([join.lookup for join in bound])
        for join_ in bound:
            for column in join_.columns:
                self.positions[f"{join_.lookup.name}.{column}"] = len(self.positions)
        return tuple(bound)

    def _check_columns(self, lookups: list[Lookup]) -> None:
        joined = [f"{lookup.name}.{column}" for lookup in lookups for column in reader.header(lookup.file)]
        names = [*self.positions, *joined]
        self.check("external_id", self.step.external_id, names)
        for spec in self.step.fields:
            for template in spec.all_templates:
                self.check(f"fields.{spec.name}", template, names)

    def specs(self) -> list[FieldSpec]:
        """The mapped fields and what is filled in for them, currencies first: an amount needs its currency."""
        known = self.noun.fields
        for spec in self.step.fields:
            if spec.name not in known:
                self.fail(f"fields.{spec.name}", f"{self.noun.name} have no such field; {suggest(spec.name, known)}")
        specs = {spec.name: spec for spec in self.step.fields}
        amounts = {known[name].currency for name in specs} | {known[name].currency for name in self.noun.writer.zero}
        for name in sorted(self.noun.currency_fields - specs.keys()):
            if self.mapping.currency is not None and (name in amounts or not known[name].null):
                specs[name] = FieldSpec(name, (self.mapping.currency,))
            elif name in amounts:
                self.fail(f"fields.{name}", "is missing: amounts need a currency, here or as `currency` at the top")
        for name in self.noun.writer.zero - specs.keys():
            specs[name] = FieldSpec(name, (placeholders.parse("0"),))
        if self.noun.name == "orders":
            number = specs.setdefault("number", FieldSpec("number", (self.step.external_id,)))
            if number.blank is None:
                specs["number"] = replace(number, blank="constant", blank_value=self.step.external_id)
        for field in known.values():
            inherited = field.name == "customer" and specs.keys() & set(self.noun.inherits)
            if field.required and field.name not in specs and not inherited:
                self.fail(f"fields.{field.name}", f"is missing: {self.noun.name} can't be without it ({field.kind})")
        return sorted(specs.values(), key=lambda spec: spec.name not in self.noun.currency_fields)

    def plan(self) -> Plan:
        width = len(self.positions)
        joins = self.joins()
        key = self.key("external_id", self.step.external_id)
        specs = self.specs()
        fields = [self.noun.fields[spec.name] for spec in specs]
        inherits = {spec.name for spec in specs} & set(self.noun.inherits)
        if inherits and "customer" not in {field.name for field in fields}:
            fields.append(self.noun.fields["customer"])
        places = {field.name: index for index, field in enumerate(fields, start=1)}
        readers: list[cells.Read] = []
        references: list[Reference] = []
        labels: list[str] = []
        for spec, field in zip(specs, fields, strict=False):
            code = field.name in self.noun.currency_fields
            builder = cells.Builder(self.fail, spec, field, self.positions, self.step.blanks, code=code)
            currency = places.get(field.currency) if field.currency else None
            readers.append(builder.reader(currency, may_wait=bool(inherits) and field.name == "customer"))
            labels.append(builder.label)
            if field.kind is Kind.REFERENCE:
                place, source = places[field.name], spec.source or self.mapping.source
                references.append(Reference(field, place, builder.label, spec.by, source, field.name in inherits))
        readers += [lambda row, record: None] * (len(fields) - len(readers))
        zeros = self.noun.writer.zero - {spec.name for spec in self.step.fields}
        return Plan(
            self.step,
            self.noun,
            key,
            ", ".join(self.step.external_id.columns),
            joins,
            tuple(fields),
            frozenset(field.column for field in fields if field.name not in zeros),
            tuple(readers),
            tuple(references),
            places["customer"] if inherits else None,
            tuple(labels),
            any(self.positions[column] >= width for column in self.step.external_id.columns),
            self.key("when", self.step.when) if self.step.when else None,
        )


def _check_lookup(mapping: Mapping, lookup: Lookup) -> None:
    where = f"{mapping.path}: [lookup {lookup.name}] key:"
    names = reader.header(lookup.file)
    if lookup.key.constant is not None:
        raise SetupError(f"{where} {lookup.key.source!r} is the same for every row; write one such as '{{column}}'")
    for column in lookup.key.columns:
        if column not in names:
            raise SetupError(f"{where} {lookup.file.label} has no column {column!r}; {suggest(column, names)}")


def bind(mapping: Mapping) -> tuple[Plan, ...]:
    """Every step bound and checked, in order. SetupError names file, section, key and remedy."""
    for lookup in mapping.lookups:
        _check_lookup(mapping, lookup)
    return tuple(_Binder(mapping, step).plan() for step in mapping.steps)
