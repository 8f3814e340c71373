"""Each golden case twice: its SQL without a database, its answer with one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from crmgql.config import Settings
from crmgql.engine.operations import Engine, Rejected, Request
from crmgql.errors import CrmError
from tests.access.workshop import Company
from tests.planner.bench import Bench
from tests.planner.golden import Case, cases, pretty

CASES = cases()
SETTINGS = Settings(log_level="error")


def named(case: Case) -> str:
    return case.folder.name


@pytest.mark.parametrize("case", CASES, ids=named)
async def test_the_sql(case: Case, bench: Bench) -> None:
    try:
        plan, variables = bench.plan(case.query, case.variables, case.viewer.who)
        plan.values(variables, case.viewer)
    except CrmError as error:
        case.compare("error.json", pretty({"code": error.code, "message": error.message}))
        return
    case.compare("plan.sql", plan.sql + "\n")


@pytest.mark.parametrize("case", CASES, ids=named)
async def test_the_answer(case: Case, company: Company) -> None:
    engine = Engine(company.engine.strawberry, company.engine.plans.metadata, company.database, SETTINGS)
    try:
        body = await engine.answer(Request(case.query, None, case.variables), case.viewer)
    except Rejected as error:
        (only,) = error.errors
        case.compare("error.json", pretty({"code": only["extensions"]["code"], "message": only["message"]}))
        return
    answer = json.loads(body)
    case.compare("result.json", pretty(answer["data"]))
    cost = answer["extensions"]["cost"]
    assert cost["actual"] <= cost["requested"] <= cost["limit"]


@pytest.mark.parametrize("case", [case for case in CASES if case.folder.name.startswith("forbidden")], ids=named)
def test_a_refused_case_says_what_the_attack_was(case: Case) -> None:
    assert case.json("error.json")["code"] == "FORBIDDEN"
    assert case.json("viewer.json")["attack"].endswith(".")


def test_all_cases_are_there() -> None:
    """`cases.txt` lists them, so that none goes missing unseen."""
    listed = Path(__file__).with_name("cases.txt").read_text("utf-8").split()
    assert {named(case) for case in CASES} == set(listed)
    assert all((case.folder / "plan.sql").exists() != (case.folder / "error.json").exists() for case in CASES)
