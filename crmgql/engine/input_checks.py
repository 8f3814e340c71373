"""Compares what clients may send with the verb that takes it, and what the verb takes with its model, at the start.

Enters: the declared mutations and computed fields, the schema with their inputs and arguments. So no client ever finds out
that a field has nowhere to go, that a verb misses a value, or that a column can't be written: such a mistake stops the boot,
with an exception of its own that names the mutation, the field and the fix.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property
from typing import Any, get_origin, get_type_hints
from uuid import UUID

from graphql import (
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLNonNull,
    GraphQLScalarType,
    GraphQLSchema,
    get_named_type,
    get_nullable_type,
    is_list_type,
)

from crmgql.engine import computed, declare, input_mistakes, input_values, inputs, mutations
from crmgql.models.base import AmountField
from crmgql.planner import metadata
from crmgql.records import columns

Types = Mapping[str, GraphQLInputType]
"""The fields of an input, or the arguments of a field, by their names."""

PYTHON: dict[str, type] = {
    "ID": UUID,
    "Int": int,
    "Boolean": bool,
    "Decimal": Decimal,
    "DateTime": datetime,
    "Date": date,
    "JSON": dict,
}
"""What scalars are for a verb; all others, and enums, are text."""

UPDATES = frozenset({"id", "expected_version"})
"""Parameters by which a verb is known to change a record that there is."""

BY_THE_RUNNER = frozenset({"idempotency_key"})
"""What no verb sees of an input."""


def check(
    declared: Mapping[str, mutations.MutationDeclaration], schema: GraphQLSchema, known: metadata.Metadata
) -> None:
    """Raises the first `InputMistake` of all declared mutations. `schema` has their inputs."""
    for declaration in declared.values():
        kind = schema.type_map[declaration.input_name]
        assert isinstance(kind, GraphQLInputObjectType)
        _fixed(declaration)
        if declaration.calls is not None:
            # What passes on the values that the client sent may add what else the verb needs.
            _passed_on(_Taker(declaration.verb), declaration.name, _types(kind))
            _fields(_Taker(declaration.calls, whole=False), declaration.name, _types(kind))
        else:
            _fields(_Taker(declaration.verb), declaration.name, _types(kind))
        _ids(declaration.record, declaration.name, _types(kind), known)


def check_computed(declared: Mapping[str, computed.Computed], schema: GraphQLSchema, known: metadata.Metadata) -> None:
    """Raises the first `InputMistake` of all computed fields' arguments."""
    assert schema.query_type is not None
    for each in declared.values():
        types = {name: argument.type for name, argument in schema.query_type.fields[each.name].args.items()}
        _fields(_Taker(each.calls or each.answer, whole=each.calls is None), each.name, types)
        _ids("", each.name, types, known)


@dataclass(frozen=True)
class _Taker:
    """A verb, or what makes a part of an input, that takes an input's values. `whole`: nothing else is passed to it."""

    call: Callable[..., Any]
    whole: bool = True

    @property
    def name(self) -> str:
        return f"{self.call.__module__.rpartition('.')[2]}.{self.call.__qualname__}"

    @cached_property
    def parameters(self) -> dict[str, inspect.Parameter]:
        return dict(inspect.signature(self.call).parameters)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        taken = columns.of(self.call)
        return taken.names if taken is not None else ()


def _fixed(declaration: mutations.MutationDeclaration) -> None:
    taker = _Taker(declaration.verb)
    by_the_runner = 2 if declaration.registered else 1
    wanted = sum(each.kind is each.POSITIONAL_OR_KEYWORD for each in taker.parameters.values()) - by_the_runner
    if wanted != len(declaration.fixed):
        raise input_mistakes.FixedArguments(
            declaration.name, verb=taker.name, given=str(len(declaration.fixed)), wanted=str(wanted)
        )


def _passed_on(taker: _Taker, where: str, types: Types) -> None:
    if all(each.kind is not each.VAR_KEYWORD for each in taker.parameters.values()):
        for name in types:
            if declare.snake(name) not in {*taker.parameters, *BY_THE_RUNNER}:
                raise input_mistakes.UnknownParameter(f"{where}.{name}", verb=taker.name, name=declare.snake(name))


def _types(kind: GraphQLInputObjectType) -> Types:
    return {name: field.type for name, field in kind.fields.items()}


def _fields(taker: _Taker, where: str, types: Types) -> None:
    """Checks the fields of an input, or of a part of one, against what takes their values."""
    fields = {declare.snake(name): type_ for name, type_ in types.items()}
    _columns(taker, where)
    hints = get_type_hints(taker.call if inspect.isfunction(taker.call) else taker.call.__init__)
    for name, type_ in fields.items():
        if name not in BY_THE_RUNNER:
            _field(taker, f"{where}.{declare.camel(name)}", name, type_, hints)
    if taker.whole:
        _complete(taker, where, fields)


def _field(taker: _Taker, where: str, name: str, type_: GraphQLInputType, hints: dict[str, Any]) -> None:
    parameter = taker.parameters.get(name)
    if parameter is None and name not in taker.columns:
        raise input_mistakes.UnknownParameter(where, verb=taker.name, name=name)
    if parameter is not None and inspect.isfunction(taker.call) and parameter.kind is not parameter.KEYWORD_ONLY:
        raise input_mistakes.PositionalParameter(where, verb=taker.name, name=name)
    if parameter is not None and not isinstance(type_, GraphQLNonNull) and not _takes_none(hints.get(name, Any)):
        raise input_mistakes.NullNotTaken(where, verb=taker.name, name=name)
    if not (_fits(type_, hints.get(name, Any)) if parameter is not None else _fits_column(type_, taker, name)):
        raise input_mistakes.WrongType(where, verb=taker.name, name=name, type=_python(type_).__name__)
    inner = get_named_type(type_)
    if isinstance(inner, GraphQLInputObjectType):
        if inner.name not in inputs.PARTS:
            raise input_mistakes.UnknownPart(where, name=inner.name)
        _fields(_Taker(inputs.PARTS[inner.name]), f"{where}.0" if _is_list(type_) else where, _types(inner))


def _fits(type_: GraphQLInputType, hint: Any) -> bool:
    """Whether a parameter of this annotation takes what a field of this type gives."""
    kinds = [get_origin(each) or each for each in (hint.__args__ if _takes_none(hint) and hint is not Any else (hint,))]
    return any(each is Any or issubclass(_python(type_), getattr(each, "__supertype__", each)) for each in kinds)


def _fits_column(type_: GraphQLInputType, taker: _Taker, name: str) -> bool:
    taken = columns.of(taker.call)
    model_field = columns.field_of(taken.model, name) if taken is not None else None
    if isinstance(model_field, AmountField):
        return _python(type_) is tuple
    return model_field is None or issubclass(_python(type_), model_field.field_type)


def _python(type_: GraphQLInputType) -> type:
    """What a verb gets for a field of this type."""
    if _is_list(type_):
        return list
    inner = get_named_type(type_)
    if isinstance(inner, GraphQLInputObjectType):
        made = inputs.PARTS.get(inner.name, dict)
        return made if isinstance(made, type) else tuple
    return PYTHON.get(inner.name, str)


def _complete(taker: _Taker, where: str, fields: Types) -> None:
    for name, parameter in taker.parameters.items():
        keyword = parameter.kind is parameter.KEYWORD_ONLY or not inspect.isfunction(taker.call)
        required = isinstance(fields.get(name), GraphQLNonNull)
        if keyword and parameter.default is parameter.empty and not required:
            raise input_mistakes.MissingField(f"{where}.{declare.camel(name)}", verb=taker.name, name=name)


def _columns(taker: _Taker, where: str) -> None:
    """What a verb says that it takes: columns that there are, and of an update none that are frozen."""
    taken = columns.of(taker.call)
    for name, parameter in taker.parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD and taken is None:
            raise input_mistakes.OpenColumns(where, verb=taker.name, name=name)
    if taken is None:
        return
    for name in taken.names:
        there = f"{where}.{declare.camel(name)}"
        if columns.field_of(taken.model, name) is None:
            raise input_mistakes.UnknownColumn(there, verb=taker.name, name=name, model=taken.model.__name__)
        if name in columns.FROZEN and not UPDATES.isdisjoint(taker.parameters):
            raise input_mistakes.FrozenOrigin(there, verb=taker.name, name=name)


def _ids(record: str, where: str, types: Types, known: metadata.Metadata) -> None:
    for name, path in _ids_of(types, where):
        target = input_values.target(known, record, name)
        if target not in known.nodes:
            raise input_mistakes.UnknownIdTarget(path, name=target)


def _ids_of(types: Types, where: str) -> Iterator[tuple[str, str]]:
    for name, type_ in types.items():
        inner = get_named_type(type_)
        if isinstance(inner, GraphQLInputObjectType):
            yield from _ids_of(_types(inner), f"{where}.{name}")
        elif isinstance(inner, GraphQLScalarType) and inner.name == "ID":
            yield name, f"{where}.{name}"


def _takes_none(hint: Any) -> bool:
    return hint is Any or type(None) in getattr(hint, "__args__", ())


def _is_list(type_: GraphQLInputType) -> bool:
    return is_list_type(get_nullable_type(type_))
