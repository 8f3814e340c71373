"""Reading a table of the mapping file strictly: each mistake names the file, the section, the key and the remedy."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from crmgql.errors import SetupError
from crmgql.imports import placeholders
from crmgql.imports.placeholders import Template


def suggest(name: str, known: Iterable[str]) -> str:
    """`did you mean …?` when one is close, otherwise all that there are."""
    names = list(known)
    close = get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(sorted(names)) or 'none'}"


class Section:
    """One table. Take each key once, then call `done`, which refuses keys that nobody took."""

    def __init__(self, path: Path, name: str, table: object) -> None:
        self.path = path
        self.name = name
        if not isinstance(table, dict):
            self.fail(None, f"must be a table, not {table!r}")
        self.table: dict[str, Any] = dict(table)
        self._known: set[str] = set()

    def fail(self, key: str | None, message: str) -> NoReturn:
        where = f"{self.path}: [{self.name}]" + (f" {key}" if key else "")
        raise SetupError(f"{where}: {message}")

    def take(self, key: str) -> Any:
        self._known.add(key)
        return self.table.get(key)

    def text(self, key: str, default: str | None = None) -> str:
        value = self.take(key)
        if value is None:
            if default is None:
                self.fail(key, "is missing")
            return default
        if not isinstance(value, str):
            self.fail(key, f"must be text in quotes, not {value!r}")
        return value

    def choice(self, key: str, choices: tuple[str, ...], default: str) -> str:
        value = self.text(key, default)
        if value not in choices:
            self.fail(key, f"{value!r} is none of {', '.join(repr(choice) for choice in choices)}")
        return value

    def texts(self, key: str, default: tuple[str, ...]) -> tuple[str, ...]:
        value = self.take(key)
        if value is None:
            return default
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            self.fail(key, f"must be a list of texts, not {value!r}")
        return tuple(items)

    def sub(self, key: str) -> Section:
        value = self.take(key)
        return Section(self.path, f"{self.name}.{key}", {} if value is None else value)

    def tables(self, key: str) -> list[dict[str, Any]]:
        """The tables of an array such as [[step]]."""
        value = self.take(key)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self.fail(key, f"must be written as [[{key}]]")
        return value

    def template(self, key: str) -> Template:
        return self.parse(key, self.text(key))

    def scalar(self, key: str, value: object) -> Template:
        """A template, or a constant written without quotes. No float: 0.1 would not be 0.1."""
        if isinstance(value, bool):
            return self.parse(key, str(value).lower())
        if isinstance(value, datetime | date):
            return self.parse(key, value.isoformat())
        if isinstance(value, float):
            self.fail(key, f"write the number {value} in quotes, to keep it exact")
        if not isinstance(value, str | int):
            self.fail(key, f"must be a template such as '{{column}}', not {value!r}")
        return self.parse(key, str(value))

    def parse(self, key: str, source: str) -> Template:
        try:
            return placeholders.parse(source)
        except ValueError as error:
            self.fail(key, str(error))

    def done(self) -> None:
        for key in self.table:
            if key not in self._known:
                self.fail(key, f"is not a setting here; {suggest(key, self._known)}")
