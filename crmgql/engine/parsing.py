"""Text → GraphQL document, without work for Python's garbage collector.

graphql-core links each token with the next and the one before. Such circles are only found by the collector, which stops
everything while it looks: some 100 ms after a few large documents. Here the links are cut as soon as the text is read.
"""

from __future__ import annotations

from graphql import DocumentNode, Source, Token
from graphql.language import Lexer
from graphql.language.parser import Parser


def parse(text: str, *, max_tokens: int | None = None, no_location: bool = False) -> DocumentNode:
    """As graphql-core's `parse`. Raises `GraphQLSyntaxError`, `RecursionError`."""
    source = Source(text)
    lexer = Lexer(source)
    first = lexer.token
    try:
        return Parser(source, no_location=no_location, max_tokens=max_tokens, lexer=lexer).parse_document()
    finally:
        _unlink(first)


def _unlink(first: Token) -> None:
    token: Token | None = first
    while token is not None:
        following = token.next
        token.prev = token.next = None
        token = following
