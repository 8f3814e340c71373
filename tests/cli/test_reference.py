"""Pages that are made from declarations are what the declarations say."""

from __future__ import annotations

from pathlib import Path

from crmgql.cli import reference
from crmgql.models import Role
from crmgql.schema import build

PAGE = Path(__file__).resolve().parents[2] / "docs/reference/permissions.md"


async def test_the_page_on_permissions_is_current() -> None:
    await build.prepare()
    assert PAGE.read_text("utf-8") == reference.permissions(), "run “make schema” and commit it"


async def test_it_says_who_may_how_much() -> None:
    await build.prepare()
    lines = reference.permissions().splitlines()
    heads = next(line for line in lines if line.startswith("| permission"))
    assert [cell.strip() for cell in heads.split("|")[3:-1]] == [str(role) for role in Role]
    cells = [
        cell.strip() for cell in next(line for line in lines if line.startswith("| `order.read`")).split("|")[3:-1]
    ]
    told = dict(zip([str(role) for role in Role], cells, strict=True))
    assert told == {
        "ADMIN": "all",
        "FINANCE": "all",
        "MANAGER": "team",
        "SELLER": "own",
        "SUPPORT": "all",
        "MARKETER": "",
        "INTEGRATION": "all",
        "PAYROLL": "",
    }
    assert "| `leadRoute` | `lead.write`, `lead.route` |" in lines
