"""From a row's cells to one field's value: template, replacements, blanks, conversion, the currency's decimals.

Enters: a `FieldSpec` and its `Field`. Leaves: a function from the row (and the record so far, for the currency) to the
value. A row it can't serve raises Rejected; a mapping that can't work raises SetupError through `fail`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, NoReturn

import orjson

from crmgql.imports import nouns, placeholders, values
from crmgql.imports.mapping import FieldSpec
from crmgql.imports.nouns import Field, Kind
from crmgql.imports.placeholders import Rejected, Render

Fail = Callable[[str, str], NoReturn]
Read = Callable[[list[str], list[Any]], Any]
Finish = Callable[[str, list[Any]], Any]

_NUMBERS = frozenset({Kind.INTEGER, Kind.DECIMAL, Kind.AMOUNT})
_TIMES = frozenset({Kind.DATE, Kind.DATETIME})
_ALLOWED = {
    "scale": _NUMBERS,
    "invert": frozenset({Kind.DECIMAL}),
    "decimal": _NUMBERS,
    "thousands": _NUMBERS,
    "formats": _TIMES,
    "timezone": frozenset({Kind.DATETIME}),
    "split": frozenset({Kind.TEXTS}),
    "list": frozenset({Kind.TEXTS}),
    "object": frozenset({Kind.JSON}),
    "by": frozenset({Kind.REFERENCE}),
    "source": frozenset({Kind.REFERENCE}),
}


class Builder:
    """Builds the reader of one field."""

    def __init__(
        self,
        fail: Fail,
        spec: FieldSpec,
        field: Field,
        positions: Mapping[str, int],
        blanks: frozenset[str],
        *,
        code: bool,
    ) -> None:
        """`code`: the field is a currency."""
        self.spec = spec
        self.field = field
        self.positions = positions
        self.blanks = blanks
        self.code = code
        self._fail = fail
        columns = [column for template in spec.all_templates for column in template.columns]
        self.label = ", ".join(dict.fromkeys(columns)) or field.name
        self._convert = values.converter(field, spec.style, spec.scale, invert=spec.invert)
        self._check()

    def fail(self, message: str) -> NoReturn:
        self._fail(f"fields.{self.field.name}", message)

    def _check(self) -> None:
        spec, field = self.spec, self.field
        for key, kinds in _ALLOWED.items():
            if key in spec.keys and field.kind not in kinds:
                self.fail(f"{key!r} is not for a field of this type ({field.kind})")
        if spec.blank == "null" and not (field.null or field.filled):
            self.fail("blank = 'null' can't be: the field needs a value; write 'reject', 'default' or { value = … }")
        if spec.blank == "default" and field.default is None:
            self.fail("blank = 'default' can't be: the field has no default; write 'reject', 'null' or { value = … }")
        if field.kind is Kind.REFERENCE:
            keys = ("external_id", *nouns.LOOKED_UP_BY.get(str(field.target), ()))
            if spec.by not in keys:
                self.fail(f"by = {spec.by!r} can't find {field.target}; write one of {', '.join(keys)}")
            return
        constants = [template.constant for template in (*spec.templates, spec.blank_value) if template is not None]
        for text in (*constants, *spec.values.values()):
            if text:
                try:
                    self._finish(spec.values.get(text, text), None)
                except ValueError as error:
                    self.fail(str(error))

    def _finish(self, text: str, currency: str | None) -> Any:
        value = self._convert(text)
        if self.field.kind is Kind.AMOUNT:
            values.check_bounds(value, self.field)
            return value if currency is None else values.fit_amount(value, currency)
        if self.code:
            values.currency_scale(text)
        return [value] if self.field.kind is Kind.TEXTS else value

    def _texts(self) -> Callable[[list[str]], list[str]]:
        """The pieces of a list field that are not blank, each replaced by `values`."""
        renders = [self._render(template) for template in self.spec.templates]
        split, replaced = self.spec.split, self.spec.values

        def read(row: list[str]) -> list[str]:
            texts = [render(row) for render in renders]
            if split:
                texts = [piece.strip() for text in texts for piece in text.split(split)]
            return [self._convert(replaced.get(text, text)) for text in texts if text]

        return read

    def _members(self) -> Callable[[list[str]], str]:
        pairs = [(key, self._render(template)) for key, template in self.spec.members]

        def read(row: list[str]) -> str:
            found = {key: render(row) for key, render in pairs}
            filled = {key: text for key, text in found.items() if text}
            return orjson.dumps(filled).decode() if filled else ""

        return read

    def _render(self, template: placeholders.Template, *, whole: bool = False) -> Render:
        return placeholders.bind(template, self.positions, self.blanks, whole=whole)

    def _when_blank(self, finish: Finish, *, may_wait: bool) -> Read:
        """What a blank becomes. `may_wait`: the value may still come from the order or contact of the row."""
        field, spec = self.field, self.spec
        otherwise: Read = (
            (lambda row, record: None)
            if field.null or field.filled or may_wait
            else self._default(finish)
            if field.default is not None
            else _reject_blank
        )
        if spec.blank_value is not None:
            return self._stand_in(spec.blank_value, finish, otherwise)
        if spec.blank == "reject":
            return (lambda row, record: None) if may_wait else _reject_blank
        return self._default(finish) if spec.blank == "default" else otherwise

    def _stand_in(self, template: placeholders.Template, finish: Finish, otherwise: Read) -> Read:
        """`blank = { value = … }`; when that is blank too, what happens to a blank without it."""
        render = self._render(template, whole=self.field.kind is Kind.REFERENCE)

        def read(row: list[str], record: list[Any]) -> Any:
            text = render(row)
            return finish(text, record) if text else otherwise(row, record)

        return read

    def _default(self, finish: Finish) -> Read:
        default = self.field.default
        if self.field.kind is Kind.AMOUNT:
            return lambda row, record: finish("0", record)
        if self.field.kind is Kind.JSON:
            return lambda row, record: "{}"
        if self.field.kind is Kind.DECIMAL:
            return lambda row, record: Decimal(default)
        return lambda row, record: default

    def reader(self, currency: int | None, *, may_wait: bool) -> Read:
        """The field's reader; `currency` is where in the record an amount's currency stands."""
        finish: Finish
        if currency is not None:
            finish = lambda text, record: self._finish(text, record[currency])  # noqa: E731
        elif self.field.kind in (Kind.AMOUNT, Kind.TEXTS) or self.code:
            finish = lambda text, record: self._finish(text, None)  # noqa: E731
        else:
            convert = self._convert
            finish = lambda text, record: convert(text)  # noqa: E731
        blank = self._when_blank(finish, may_wait=may_wait)
        if self.field.kind is Kind.TEXTS:
            texts = self._texts()
            return self._guarded(lambda row, record: texts(row) or blank(row, record))
        if self.spec.members:
            members = self._members()
            return self._guarded(lambda row, record: members(row) or blank(row, record))
        return self._guarded(self._plain(finish, blank))

    def _plain(self, finish: Finish, blank: Read) -> Read:
        template = self.spec.templates[0]
        render = self._render(template, whole=self.field.kind is Kind.REFERENCE)
        replaced, strict = self.spec.values, self.spec.unlisted == "reject"
        if template.constant and self.field.kind is not Kind.AMOUNT:
            value = finish(replaced.get(template.constant, template.constant), [])
            return lambda row, record: value
        if not replaced and not strict:

            def plain(row: list[str], record: list[Any]) -> Any:
                text = render(row)
                return finish(text, record) if text else blank(row, record)

            return plain

        def replacing(row: list[str], record: list[Any]) -> Any:
            text = render(row)
            if strict and text and text not in replaced:
                raise ValueError(f"{text!r} is not listed in values")
            text = replaced.get(text, text)
            return finish(text, record) if text else blank(row, record)

        return replacing

    def _guarded(self, read: Read) -> Read:
        label, name = self.label, self.field.name

        def guarded(row: list[str], record: list[Any]) -> Any:
            try:
                return read(row, record)
            except ValueError as error:
                raise Rejected(label, f"{name}: {error}") from error

        return guarded


def _reject_blank(row: list[str], record: list[Any]) -> NoReturn:
    raise ValueError("is blank")
