"""Parsing leaves nothing behind that only the garbage collector finds."""

from __future__ import annotations

import gc

import pytest
from graphql import GraphQLSyntaxError

from crmgql.engine.parsing import parse


@pytest.mark.parametrize("no_location", [False, True])
def test_a_parsed_document_leaves_no_circles(no_location: bool) -> None:
    text = "{" + " field(values: [1, 2, 3])" * 500 + "}"
    gc.collect()
    gc.disable()
    try:
        parse(text, no_location=no_location)
        with pytest.raises(GraphQLSyntaxError):
            parse(text + "}", no_location=no_location)
        assert gc.collect() < 100
    finally:
        gc.enable()


def test_places_are_kept() -> None:
    location = parse("{ me { id } }").definitions[0].loc
    assert location is not None
    assert (location.start, location.end) == (0, 13)
