"""The mapping file: TOML to frozen dataclasses. Whether its columns and fields exist is checked in `plan`.

Enters: a path. Leaves: a `Mapping`, or a SetupError that names file, section, key and remedy.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping as Mapping_
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from types import MappingProxyType
from typing import Any

from crmgql.errors import SetupError
from crmgql.imports import styles
from crmgql.imports.nouns import WRITERS
from crmgql.imports.placeholders import Template
from crmgql.imports.sections import Section, suggest
from crmgql.imports.values import DEFAULT_STYLE, Style


@dataclass(frozen=True)
class CsvFile:
    """A file and how it is written. `label` is its path as the mapping gives it."""

    label: str
    path: Path
    encoding: str
    delimiter: str
    quote: str


@dataclass(frozen=True)
class Lookup:
    """A file to join by key: `columns` of the row whose `key` is the one asked for."""

    name: str
    file: CsvFile
    key: Template
    duplicates: str


@dataclass(frozen=True)
class Join:
    lookup: str
    key: Template
    missing: str


@dataclass(frozen=True)
class FieldSpec:
    """How one field gets its value; see docs/howto/import.md for each key."""

    name: str
    templates: tuple[Template, ...]
    style: Style = DEFAULT_STYLE
    keys: frozenset[str] = frozenset()
    members: tuple[tuple[str, Template], ...] = ()
    values: Mapping_[str, str] = field(default_factory=dict)
    unlisted: str = "keep"
    blank: str | None = None
    blank_value: Template | None = None
    scale: Decimal | None = None
    invert: bool = False
    split: str | None = None
    by: str = "external_id"
    source: str | None = None

    @property
    def all_templates(self) -> tuple[Template, ...]:
        extra = (self.blank_value,) if self.blank_value else ()
        return (*self.templates, *(template for _, template in self.members), *extra)


@dataclass(frozen=True)
class Step:
    """One file into one noun. `raw` is the table as written, for the fingerprint.

    `when`: only rows where this is not blank are the step's.
    """

    name: str
    noun: str
    file: CsvFile
    external_id: Template
    duplicates: str
    joins: tuple[Join, ...]
    fields: tuple[FieldSpec, ...]
    blanks: frozenset[str]
    raw: str
    when: Template | None = None


@dataclass(frozen=True)
class Mapping:
    """`history`: gap events stand for the events of single records."""

    path: Path
    source: str
    currency: Template | None
    lookups: tuple[Lookup, ...]
    steps: tuple[Step, ...]
    history: bool = False


def _file(section: Section, base: styles.Csv, directory: Path) -> CsvFile:
    label = section.text("file")
    style = styles.csv(section.sub("csv"), base)
    folder = section.path.parent if label.startswith("./") else directory
    return CsvFile(label, folder / label, style.encoding, style.delimiter, style.quote)


def _scale(section: Section) -> Decimal | None:
    value = section.take("scale")
    if value is None:
        return None
    try:
        factor = Decimal(section.scalar("scale", value).source)
    except InvalidOperation:
        section.fail("scale", f"{value!r} is not a number; write one such as '1000' or '0.01'")
    if not factor.is_finite() or factor == 0:
        section.fail("scale", f"{value!r} can't be multiplied with")
    return factor


def _invert(section: Section) -> bool:
    value = section.take("invert")
    if value not in (None, True, False):
        section.fail("invert", f"{value!r} must be true or false")
    return bool(value)


def _blank(section: Section) -> tuple[str | None, Template | None]:
    value = section.take("blank")
    if isinstance(value, dict):
        inner = section.sub("blank")
        template = inner.scalar("value", inner.take("value"))
        inner.done()
        return "constant", template
    return (section.choice("blank", ("null", "default", "reject"), "") if value is not None else None), None


def _field(parent: Section, name: str, value: object, style: Style) -> FieldSpec:
    """Text is a template, a list is a list of templates, a table says more."""
    if isinstance(value, list):
        return FieldSpec(name, tuple(parent.scalar(name, item) for item in value), style, frozenset({"list"}))
    if not isinstance(value, dict):
        return FieldSpec(name, (parent.scalar(name, value),), style)
    section = Section(parent.path, f"{parent.name}.{name}", value)
    template = section.take("template")
    members = section.sub("object") if section.take("object") is not None else None
    if (template is None) == (members is None):
        section.fail("template", "is missing" if template is None else "and object can't both be given")
    pairs = tuple((key, members.scalar(key, item)) for key, item in members.table.items()) if members else ()
    values = section.sub("values")
    blank, blank_value = _blank(section)
    spec = FieldSpec(
        name,
        () if template is None else (section.scalar("template", template),),
        styles.style(section, style, single=True),
        frozenset(value),
        pairs,
        MappingProxyType({key: values.scalar(key, item).source for key, item in values.table.items()}),
        section.choice("unlisted", ("keep", "reject"), "keep"),
        blank,
        blank_value,
        _scale(section),
        _invert(section),
        section.text("split", "") or None,
        section.text("by", "external_id"),
        section.text("source", "") or None,
    )
    section.done()
    return spec


def _joins(section: Section) -> tuple[Join, ...]:
    joins = []
    for name, value in section.table.items():
        if isinstance(value, dict):
            inner = Section(section.path, f"{section.name}.{name}", value)
            joins.append(Join(name, inner.template("key"), inner.choice("missing", ("reject", "blank"), "reject")))
            inner.done()
        else:
            joins.append(Join(name, section.scalar(name, value), "reject"))
    return tuple(joins)


class _Reader:
    """Reads the steps and lookups of one file, which share its general settings."""

    def __init__(self, root: Section, directory: Path) -> None:
        self.root = root
        self.directory = directory
        self.csv = styles.csv(root.sub("csv"), styles.Csv())
        formats = root.sub("formats")
        self.blanks = formats.texts("blanks", ())
        self.style = styles.style(formats, Style(), single=False)
        formats.done()
        currency = root.text("currency", "")
        self.currency = root.parse("currency", currency) if currency else None

    def lookup(self, table: dict[str, Any]) -> Lookup:
        section = Section(self.root.path, f"lookup {table.get('name', '?')}", table)
        name = section.text("name")
        if not re.fullmatch(r"\w+", name):
            section.fail("name", f"{name!r} must be one word")
        duplicates = section.choice("duplicates", ("error", "first", "last"), "error")
        lookup = Lookup(name, _file(section, self.csv, self.directory), section.template("key"), duplicates)
        section.done()
        return lookup

    def step(self, table: dict[str, Any]) -> Step:
        noun = table.get("noun")
        section = Section(self.root.path, f"step {table.get('name', noun or '?')}", table)
        if section.text("noun") not in WRITERS:
            section.fail("noun", f"{noun!r} can't be imported; {suggest(str(noun), WRITERS)}")
        name = section.text("name", str(noun))
        if not 0 < len(name) <= 100:
            section.fail("name", "must have 1 to 100 characters")
        formats = section.sub("formats")
        blanks = formats.texts("blanks", self.blanks)
        style = styles.style(formats, self.style, single=False)
        formats.done()
        fields = section.sub("fields")
        specs = tuple(_field(fields, key, value, style) for key, value in fields.table.items())
        step = Step(
            name,
            str(noun),
            _file(section, self.csv, self.directory),
            section.template("external_id"),
            section.choice("duplicates", ("reject", "first", "last"), "reject"),
            _joins(section.sub("joins")),
            specs,
            frozenset({"", *blanks}),
            repr((table, self.csv, self.style, self.blanks, self.currency)),
            section.template("when") if section.take("when") is not None else None,
        )
        section.done()
        return step


def load(path: Path, base_dir: Path | None = None) -> Mapping:
    """The mapping. Files are taken relative to `base_dir`, or to the mapping's own folder, as those that begin with `./` always are."""
    try:
        root = Section(path, "top level", tomllib.loads(path.read_text(encoding="utf-8-sig")))
    except OSError as error:
        raise SetupError(f"{path}: can't be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SetupError(f"{path}: is not valid TOML: {error}") from error
    source = root.text("source")
    if not 0 < len(source) <= 50:
        root.fail("source", "must have 1 to 50 characters")
    reader = _Reader(root, base_dir if base_dir is not None else path.parent)
    history = root.choice("events", ("each", "gap"), "each") == "gap"
    lookups = tuple(reader.lookup(table) for table in root.tables("lookup"))
    steps = tuple(reader.step(table) for table in root.tables("step"))
    root.done()
    if not steps:
        root.fail("step", "is missing: write at least one [[step]]")
    for kind, names in (("lookup", [item.name for item in lookups]), ("step", [item.name for item in steps])):
        for name in names:
            if names.count(name) > 1:
                root.fail(kind, f"two are named {name!r}; give each its own name")
    return Mapping(path, source, reader.currency, lookups, steps, history)
