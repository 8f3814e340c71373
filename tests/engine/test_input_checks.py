"""Each way in which an input and its verb don't fit together stops the start, and says where and what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from graphql import build_schema

from crmgql import models
from crmgql.engine import computed, input_checks, input_mistakes, inputs
from crmgql.engine.mutations import MutationDeclaration
from crmgql.errors import DeclarationError
from crmgql.records.columns import ORIGIN, takes
from tests.planner.bench import Bench

SDL = """
scalar Decimal
type Query { x: Int }
input MoneyInput { amount: Decimal! currency: String! }
input LineInput { quantity: String! note: String }
input StrayInput { a: Int }
input TryInput { %s }"""


@dataclass(frozen=True, slots=True)
class Line:
    quantity: str


@pytest.fixture(autouse=True)
def parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(inputs.PARTS, "LineInput", Line)


def checked(bench: Bench, verb: Callable[..., Any], fields: str, *fixed: str, **options: Any) -> None:
    """Checks a mutation of tickets whose input has these fields."""
    kind = SimpleNamespace(__name__="TryInput")
    declaration = MutationDeclaration("ticketTry", "Ticket", kind, "", verb, fixed, **options)
    input_checks.check(
        {"ticketTry": declaration}, build_schema(SDL % f"idempotencyKey: String {fields}"), bench.metadata
    )


async def plain(act: Any, *, id: UUID, subject: str | None = None) -> UUID:
    return id


async def moving(act: Any, verb: str, *, id: UUID) -> UUID:
    return id


async def anything(act: Any, *, id: UUID, **changes: Any) -> UUID:
    return id


async def assigning(act: Any, *, id: UUID, assignee_id: UUID | None) -> UUID:
    return id


async def strict(act: Any, *, id: UUID, subject: str = "") -> UUID:
    return id


async def unknown(act: Any, *, reviewer_id: UUID) -> UUID:
    return reviewer_id


async def stray(act: Any, *, stray: Any = None) -> Any:
    return stray


async def with_lines(act: Any, *, id: UUID, lines: list[Line]) -> UUID:
    return id


@takes(models.Ticket, "subject description")
async def listed(act: Any, *, id: UUID, **changes: Any) -> UUID:
    return id


@takes(models.Ticket, "subject", ORIGIN)
async def moving_origin(act: Any, *, id: UUID, **changes: Any) -> UUID:
    return id


@takes(models.Ticket, "subject", ORIGIN)
async def making(act: Any, *, customer_id: UUID, **values: Any) -> UUID:
    return customer_id


@takes(models.Lead, "budget score")
async def budgeted(act: Any, *, id: UUID, **changes: Any) -> UUID:
    return id


@takes(models.Ticket, "subjcet")
async def misspelt(act: Any, *, id: UUID, **changes: Any) -> UUID:
    return id


def test_what_fits_passes(bench: Bench) -> None:
    checked(bench, plain, "id: ID! subject: String")
    checked(bench, moving, "id: ID!", "hold")
    checked(bench, listed, "id: ID! subject: String description: String")
    checked(bench, making, "customerId: ID! subject: String source: String externalId: String")
    checked(bench, strict, "id: ID! subject: String!")
    checked(bench, anything, "id: ID! subject: String", calls=listed)
    checked(bench, anything, "id: ID! assigneeId: ID", calls=assigning)
    checked(bench, budgeted, "id: ID! budget: MoneyInput score: Int")


def test_a_body_passes_on_what_it_takes(bench: Bench) -> None:
    with pytest.raises(
        input_mistakes.UnknownParameter, match=r"ticketTry\.description: test_input_checks\.plain takes no"
    ):
        checked(bench, plain, "id: ID! description: String", calls=listed)


Mistake = tuple[type[DeclarationError], Callable[..., Any], str, tuple[str, ...], list[str]]
MISTAKES: dict[str, Mistake] = {
    "a field that the verb does not take": (
        *(input_mistakes.UnknownParameter, plain, "id: ID! body: String", ()),
        [
            "ticketTry.body",
            "test_input_checks.plain takes no body",
            "give it this keyword parameter",
            "take the field out",
        ],
    ),
    "a column that the verb does not list": (
        *(input_mistakes.UnknownParameter, listed, "id: ID! status: String", ()),
        ["ticketTry.status", "listed takes no status", "@takes"],
    ),
    "a field of a part that is not taken": (
        *(input_mistakes.UnknownParameter, with_lines, "id: ID! lines: [LineInput!]!", ()),
        ["ticketTry.lines.0.note", "Line takes no note"],
    ),
    "a field for a fixed argument": (
        *(input_mistakes.PositionalParameter, moving, "id: ID! verb: String", ("hold",)),
        ["ticketTry.verb", "moving takes verb by its place", "keyword-only", "behind the *"],
    ),
    "a parameter that no field fills": (
        *(input_mistakes.MissingField, plain, "subject: String", ()),
        ["ticketTry.id", "plain can't be called without id", "make the field required", "default"],
    ),
    "a parameter whose field may be left out": (
        *(input_mistakes.MissingField, assigning, "id: ID! assigneeId: ID", ()),
        ["ticketTry.assigneeId", "assigning can't be called without assignee_id", "make the field required"],
    ),
    "a null that the parameter does not take": (
        *(input_mistakes.NullNotTaken, strict, "id: ID! subject: String", ()),
        [
            "ticketTry.subject",
            "may be null",
            "subject of test_input_checks.strict may not be None",
            "let the parameter",
        ],
    ),
    "another type than the parameter's": (
        *(input_mistakes.WrongType, plain, "id: ID! subject: [String!]", ()),
        ["ticketTry.subject", "plain gets a list for it, which its subject is not", "change the type of the field"],
    ),
    "another type than the column's": (
        *(input_mistakes.WrongType, making, "customerId: ID! subject: MoneyInput", ()),
        ["ticketTry.subject", "making gets a tuple for it, which its subject is not"],
    ),
    "an amount that is no money": (
        *(input_mistakes.WrongType, budgeted, "id: ID! budget: String", ()),
        ["ticketTry.budget", "budgeted gets a str for it"],
    ),
    "a verb that takes any column": (
        *(input_mistakes.OpenColumns, anything, "id: ID!", ()),
        ["ticketTry", "anything takes any column as **changes", "@takes", "calls="],
    ),
    "a listed column that the model lacks": (
        *(input_mistakes.UnknownColumn, misspelt, "id: ID!", ()),
        ["ticketTry.subjcet", "misspelt says that it takes subjcet", "no column of Ticket", "correct the name"],
    ),
    "an update that would change the origin": (
        *(input_mistakes.FrozenOrigin, moving_origin, "id: ID! subject: String", ()),
        ["ticketTry.source", "would change source", "take ORIGIN out"],
    ),
    "a row without the verb's fixed argument": (
        *(input_mistakes.FixedArguments, moving, "id: ID!", ()),
        ["ticketTry", "0 fixed arguments", "moving takes 1", "name as many"],
    ),
    "a row with one too many": (
        *(input_mistakes.FixedArguments, plain, "id: ID!", ("hold",)),
        ["ticketTry", "1 fixed arguments", "plain takes 0"],
    ),
    "an id of no declared type": (
        *(input_mistakes.UnknownIdTarget, unknown, "reviewerId: ID!", ()),
        ["ticketTry.reviewerId", "no declared type is called Reviewer", "RECORDS", "input_values.py"],
    ),
    "an input in it that nothing is made of": (
        *(input_mistakes.UnknownPart, stray, "stray: StrayInput", ()),
        ["ticketTry.stray", "StrayInput", "@part"],
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_names_mutation_field_and_fix(bench: Bench, mistake: str) -> None:
    kind, verb, fields, fixed, words = MISTAKES[mistake]
    with pytest.raises(DeclarationError) as caught:
        checked(bench, verb, fields, *fixed)
    assert type(caught.value) is kind
    for word in words:
        assert word in caught.value.message


def test_a_computed_fields_arguments_are_checked_too(bench: Bench) -> None:
    async def answer(ask: Any, *, stage_id: UUID, since: str | None = None) -> Any:
        return stage_id, since

    async def reviewing(ask: Any, *, stage_id: UUID, reviewer_id: UUID) -> Any:
        return stage_id, reviewer_id

    async def passing_on(ask: Any, **values: Any) -> Any:
        return values

    def check(arguments: str, answer: Callable[..., Any], calls: Callable[..., Any] | None = None) -> None:
        declared = {"x": computed.Computed("x", None, (), "", answer, calls)}
        schema = build_schema(f"type Query {{ x({arguments}): Int }}")
        input_checks.check_computed(declared, schema, bench.metadata)

    check("stageId: ID! since: String", answer)
    check("stageId: ID! since: String", passing_on, answer)
    for arguments, verb, kind in (
        ("stageId: ID! until: String", answer, input_mistakes.UnknownParameter),
        ("since: String", answer, input_mistakes.MissingField),
        ("stageId: ID!", passing_on, input_mistakes.OpenColumns),
        ("stageId: ID! reviewerId: ID!", reviewing, input_mistakes.UnknownIdTarget),
    ):
        with pytest.raises(kind, match=r"^x"):
            check(arguments, verb)
