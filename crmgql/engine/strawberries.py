"""How a Strawberry type is made from names and annotations, and found again by a lazy reference."""

from __future__ import annotations

import keyword
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, EnumMeta
from functools import cache
from typing import Annotated, Any, ForwardRef, Optional

import strawberry
from strawberry.annotation import StrawberryAnnotation
from strawberry.types.arguments import StrawberryArgument
from strawberry.types.field import StrawberryField
from strawberry.types.lazy_type import LazyType, StrawberryLazyReference

from crmgql.engine import generated

REQUIRED = object()


@dataclass(frozen=True)
class Argument:
    """`default` REQUIRED, None (no default) or a value."""

    name: str
    annotation: Any
    default: Any = None
    doc: str | None = None


@dataclass(frozen=True)
class Field:
    """`deprecated`: why it should not be used any more, and what should instead."""

    name: str
    annotation: Any
    doc: str | None = None
    arguments: tuple[Argument, ...] = ()
    deprecated: str | None = None


class Lazy(LazyType[Any, Any]):
    """Strawberry's own looks up module and program on the disk each time it is resolved, thousands of times in a start."""

    def resolve_type(self) -> type[Any]:
        kind: type[Any] = vars(generated)[self.type_name]
        return kind


class Reference(StrawberryLazyReference):
    def resolve_forward_ref(self, forward_ref: ForwardRef) -> LazyType[Any, Any]:
        return Lazy(forward_ref.__forward_arg__, self.module)


REFERENCE = Reference(generated.__name__)


@cache
def lazy(name: str) -> Any:
    """A reference to a generated type, whether it exists yet or not."""
    return Annotated[name, REFERENCE]


def optional(annotation: Any) -> Any:
    return Optional[annotation]  # noqa: UP045 - works on lazy references, where | does not


def list_of(annotation: Any) -> Any:
    return list[annotation]


def enum_type(name: str, constants: Iterable[str]) -> Any:
    return publish(name, strawberry.enum(EnumMeta.__call__(Enum, name, {each: each for each in constants})))


def publish(name: str, kind: Any) -> Any:
    """Makes a type findable by `lazy`."""
    setattr(generated, name, kind)
    return kind


def field_of(field: Field) -> StrawberryField:
    made: StrawberryField = strawberry.field(
        description=field.doc or None, name=field.name, deprecation_reason=field.deprecated
    )
    made.arguments = [_argument(argument) for argument in field.arguments]
    made.type_annotation = StrawberryAnnotation(field.annotation)
    return made


def _argument(argument: Argument) -> StrawberryArgument:
    annotation = argument.annotation if argument.default is REQUIRED else optional(argument.annotation)
    default = strawberry.UNSET if argument.default in (REQUIRED, None) else argument.default
    return StrawberryArgument(
        argument.name, argument.name, StrawberryAnnotation(annotation), default=default, description=argument.doc
    )


def object_type(name: str, fields: Iterable[Field], doc: str = "", *, interfaces: tuple[type, ...] = ()) -> Any:
    """An object type whose fields have no resolvers: the planner answers them."""
    return publish(name, strawberry.type(_class(name, fields, interfaces), description=doc or None))


def interface_type(name: str, fields: Iterable[Field], doc: str = "") -> Any:
    return publish(name, strawberry.interface(_class(name, fields, ()), description=doc or None))


def _class(name: str, fields: Iterable[Field], bases: tuple[type, ...]) -> type:
    listed = list(fields)
    namespace: dict[str, Any] = {_attribute(field.name): field_of(field) for field in listed}
    namespace["__annotations__"] = {_attribute(field.name): field.annotation for field in listed}
    return type(name, bases, namespace)


def input_type(name: str, fields: Iterable[Field], doc: str = "") -> Any:
    """An input type whose fields may all be left out."""
    listed = list(fields)
    namespace: dict[str, Any] = {
        _attribute(field.name): strawberry.field(name=field.name, description=field.doc, default=strawberry.UNSET)
        for field in listed
    }
    namespace["__annotations__"] = {_attribute(field.name): optional(field.annotation) for field in listed}
    return publish(name, strawberry.input(type(name, (), namespace), description=doc or None))


def _attribute(name: str) -> str:
    return f"{name}_" if keyword.iskeyword(name) else name
