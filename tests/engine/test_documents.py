"""Documents past a cap are refused with a code, soon, and never by running out of stack or time."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from crmgql.engine.documents import Limits
from crmgql.engine.errors import Rejected
from tests.planner.bench import LIMITS, Bench

SOON_S = 1.5


def fragments(count: int, times: int) -> str:
    """Each fragment spreads the next one several times: written out, times ** count fields."""
    parts = [f"fragment F{n} on Customer {{ {f'...F{n + 1} ' * times} }}" for n in range(count)]
    return f"{{ customers {{ nodes {{ ...F0 }} }} }} {' '.join(parts)} fragment F{count} on Customer {{ a: id name }}"


REFUSED = {
    "many tokens": ("{ " + "a " * 5000 + "}", "QUERY_TOO_COMPLEX"),
    "deep": (
        "{ customers { nodes { owner { " + "team { manager { " * 8 + "id" + " } }" * 8 + "} } } }",
        "QUERY_TOO_COMPLEX",
    ),
    "deep in fragments": (
        "{ me { ...A } } fragment A on User { team { manager { ...B } } } fragment B on User "
        + "{ team { manager " * 7
        + "{ id }"
        + " } }" * 7,
        "QUERY_TOO_COMPLEX",
    ),
    "very deep": ("{ a" * 3000 + "}" * 3000, ("QUERY_TOO_COMPLEX", "GRAPHQL_PARSE_FAILED")),
    "very deep list": (
        "{ customers(first: " + "[" * 1900 + "]" * 1900 + ") { totalCount } }",
        ("QUERY_TOO_COMPLEX", "GRAPHQL_PARSE_FAILED"),
    ),
    "very deep object": (
        "{ customers(where: " + "{not: " * 900 + "{}" + "}" * 900 + ") { totalCount } }",
        ("QUERY_TOO_COMPLEX", "GRAPHQL_PARSE_FAILED"),
    ),
    "very deep type": (
        "query ($a: " + "[" * 1900 + "Int" + "]" * 1900 + ") { me { id } }",
        ("QUERY_TOO_COMPLEX", "GRAPHQL_PARSE_FAILED"),
    ),
    "aliases": ("{ " + " ".join(f"a{n}: me {{ id }}" for n in range(60)) + " }", "QUERY_TOO_COMPLEX"),
    "aliases over operations": (
        " ".join(f"query Q{q} {{ " + " ".join(f"a{n}: me {{ id }}" for n in range(30)) + " }" for q in range(2)),
        "QUERY_TOO_COMPLEX",
    ),
    "directives": ("{ me { id " + "name @skip(if: true) " * 60 + "} }", "QUERY_TOO_COMPLEX"),
    "directives on one field": ("{ me { id " + "@skip(if: true) " * 60 + "} }", "QUERY_TOO_COMPLEX"),
    "directives on fragments": ("{ me { id " + "... @skip(if: true) { id } " * 60 + "} }", "QUERY_TOO_COMPLEX"),
    "fields": ("{ me { " + "id " * 3500 + "} }", "QUERY_TOO_COMPLEX"),
    "a field again and again": ("{ " + "customers(first: 1) { totalCount } " * 80 + "}", "QUERY_TOO_COMPLEX"),
    "a field again and again in fragments": (
        "{ "
        + " ".join(f"...F{n}" for n in range(80))
        + " } "
        + " ".join(f"fragment F{n} on Query {{ me {{ id }} }}" for n in range(80)),
        "QUERY_TOO_COMPLEX",
    ),
    "a field again and again in inline fragments": ("{ me { id " + "... { name } " * 110 + "} }", "QUERY_TOO_COMPLEX"),
    "fields that conflict": (
        "{ " + " ".join(f"customers(first: {n}) {{ totalCount }}" for n in range(50)) + " }",
        "GRAPHQL_VALIDATION_FAILED",
    ),
    "a fragment bomb": (fragments(12, 8), "QUERY_TOO_COMPLEX"),
    "a large fragment bomb": (fragments(60, 30), "QUERY_TOO_COMPLEX"),
    "a fragment in itself": ("{ me { ...A } } fragment A on User { id ...A }", "GRAPHQL_VALIDATION_FAILED"),
    "fragments in each other": (
        "{ me { ...A } } fragment A on User { ...B } fragment B on User { ...C ...A } fragment C on User { ...A }",
        "GRAPHQL_VALIDATION_FAILED",
    ),
    "an unused fragment in itself": ("{ me { id } } fragment A on User { ...A }", "GRAPHQL_VALIDATION_FAILED"),
    "nested introspection": (
        "{ __schema { types { fields { type { fields { type { fields { type { fields { name } } } } } } } } } }",
        "GRAPHQL_VALIDATION_FAILED",
    ),
    "an unknown field": ("{ me { password_hash } }", "GRAPHQL_VALIDATION_FAILED"),
    "an unknown fragment": ("{ me { ...Nope } }", "GRAPHQL_VALIDATION_FAILED"),
    "a value of another type": ('{ customers(first: "2") { totalCount } }', "GRAPHQL_VALIDATION_FAILED"),
    "a null where none fits": ("{ node(id: null) { id } }", "GRAPHQL_VALIDATION_FAILED"),
    "nothing": ("", "GRAPHQL_PARSE_FAILED"),
    "half a document": ("{ me { id }", "GRAPHQL_PARSE_FAILED"),
    "half a surrogate pair": ('{ customers(where: {name: {eq: "\\uD83D"}}) { totalCount } }', "GRAPHQL_PARSE_FAILED"),
    "overlapping fields": ("{ me { x: id x: name } }", "GRAPHQL_VALIDATION_FAILED"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_with_a_code_and_soon(bench: Bench, what: str) -> None:
    text, code = REFUSED[what]
    started = time.process_time()
    with pytest.raises(Rejected) as caught:
        bench.documents().get(text)
    assert time.process_time() - started < SOON_S
    codes = {error["extensions"]["code"] for error in caught.value.errors}
    assert codes <= ({code} if isinstance(code, str) else set(code))
    assert len(caught.value.errors) <= 21


def test_caps_are_reached_but_not_passed(bench: Bench) -> None:
    """What is exactly at a cap is answered."""
    aliases = "{ " + " ".join(f"a{n}: me {{ id }}" for n in range(LIMITS.aliases)) + " }"
    deep = "{ me { " + "team { manager { " * 6 + "id" + " } }" * 6 + " } }"
    directives = (
        "{ me { id " + "name @skip(if: true) " * 25 + "city @skip(if: true) " * (LIMITS.directives - 25) + "} }"
    )
    for text in (aliases, deep, directives):
        assert bench.documents().get(text)


def test_introspection_can_be_switched_off(bench: Bench) -> None:
    closed = bench.documents(Limits(tokens=100, depth=15, aliases=5, directives=5, introspection=False))
    for text in ("{ __schema { queryType { name } } }", '{ __type(name: "User") { name } }'):
        assert bench.documents().get(text)
        with pytest.raises(Rejected):
            closed.get(text)
    assert closed.get("{ __typename me { __typename } }")


@pytest.mark.parametrize("text", ["{ me { nam } }", "{ mee { id } }", "{ customers(frist: 1) { totalCount } }"])
def test_without_introspection_nothing_is_suggested(bench: Bench, text: str) -> None:
    for introspection in (True, False):
        documents = bench.documents(replace(LIMITS, introspection=introspection))
        with pytest.raises(Rejected) as caught:
            documents.get(text)
        assert ("Did you mean" in caught.value.errors[0]["message"]) is introspection


def test_documents_are_kept_and_bounded(bench: Bench) -> None:
    documents = bench.documents(size=2)
    first = documents.get("{ me { id } }")
    assert documents.get("{ me { id } }") is first
    for _ in range(2):
        with pytest.raises(Rejected):
            documents.get("{ nope }")
    assert len(documents._kept) == 1
    assert documents.get("{ me { id } }") is first
    for number in range(5):
        documents.get(f"{{ a{number}: me {{ id }} }}")
    assert len(documents._kept) == 2
    assert documents.get("{ me { id } }") is not first
