"""Golden cases in folders: query.graphql, viewer.json, variables.json, plan.sql, result.json or error.json.

`CRMGQL_GOLDEN=write` writes plan.sql, result.json and error.json anew; look at the difference before you keep it.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crmgql.viewer import Viewer
from tests.access.workshop import person

CASES = Path(__file__).parent / "cases"
WRITING = os.environ.get("CRMGQL_GOLDEN") == "write"


@dataclass(frozen=True)
class Case:
    folder: Path

    @property
    def query(self) -> str:
        return (self.folder / "query.graphql").read_text("utf-8")

    @property
    def variables(self) -> dict[str, Any]:
        return self.json("variables.json") or {}

    @property
    def viewer(self) -> Viewer:
        given = self.json("viewer.json")
        return person(given["user"], frozenset(given["scopes"]) if "scopes" in given else None)

    def json(self, name: str) -> Any:
        path = self.folder / name
        return json.loads(path.read_text("utf-8")) if path.exists() else None

    def compare(self, name: str, text: str) -> None:
        """The text is the file's; or becomes it."""
        path = self.folder / name
        if WRITING:
            path.write_text(text, "utf-8")
        assert path.exists(), f"{path} is missing; write it with CRMGQL_GOLDEN=write"
        assert text == path.read_text("utf-8"), f"{self.folder.name}/{name} differs; CRMGQL_GOLDEN=write writes it anew"


def cases() -> list[Case]:
    return [Case(folder) for folder in sorted(CASES.iterdir()) if folder.is_dir()]


def pretty(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"
