"""Query text → parsed, measured, validated document; kept, bounded, by the text.

What may be rejected here: syntax, documents past the caps on length, tokens and sizes (see `measure`), validation against
the schema; and, of a stranger, who shows no token, what needs one: before it is validated, as that is what takes long.
What a request asks of its operation again and again (its kind, its root fields) is read off here, once.

Nothing is kept of what was rejected or of strangers, so that nobody fills the memory, and no document keeps the text's
tokens, which take more room than all else: errors of variables have no locations for it.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLID,
    GraphQLNonNull,
    GraphQLSchema,
    GraphQLString,
    GraphQLSyntaxError,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    VariableDefinitionNode,
    get_nullable_type,
    specified_rules,
    validate,
)

from crmgql.config import Settings
from crmgql.engine import measure
from crmgql.engine.errors import from_graphql, rejected
from crmgql.engine.measure import Size
from crmgql.engine.parsing import parse
from crmgql.errors import CrmError, OperationNotFound, QueryTooComplex, Unauthenticated
from crmgql.planner.plan import LONGEST_KEPT, Prepared, prepare

LONGEST = 65_536
"""Characters of a document. Commas, blanks and what a comment says are no tokens, but are read all the same."""
STRANGERS_LONGEST, STRANGERS_TOKENS = 16_384, 500
"""Of a stranger: enough for logging in, and for what tools ask about the schema."""
KEPT_CHARACTERS = 131_072
"""Of all kept documents together. A document takes some 20 times its text, and Python's garbage collector looks at all of
it, which holds everything: some 30 ms for so many."""
MAX_ERRORS = 5
INTROSPECTION = frozenset(("__schema", "__type"))
PYTHON_ON_DIGITS = "set_int_max_str_digits"
HINT = " Did you mean "
LIVE = "live"
"""The directive of a query that is answered again when something in its answer changed."""
LOG_IN = "Log in first: send an access token or an API key as “Authorization: Bearer …”."

Public = Callable[[str, str], bool]
"""(kind of operation, root field) → whether strangers may ask for it."""


@dataclass(frozen=True)
class Limits:
    tokens: int
    depth: int
    aliases: int
    directives: int
    introspection: bool

    @property
    def sizes(self) -> measure.Limits:
        return measure.Limits(self.depth, self.aliases, self.directives)


def limits(settings: Settings) -> Limits:
    return Limits(
        settings.max_tokens,
        settings.max_depth,
        settings.max_aliases,
        settings.max_directives,
        settings.introspection != "off",
    )


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation and what is known of it before any request.

    `kind` is `query`, `mutation` or `subscription`; `is_live`: it is a query with `@live`. `roots` says how often each root field is asked for under another key, those of
    fragments and those under a condition included. `texts`, of a query whose variables are all `String` or `ID`, are
    their names, each with whether it may be absent; None for other operations. `size` is the whole document's.
    """

    prepared: Prepared
    kind: str
    roots: Counter[str]
    introspects: bool
    texts: tuple[tuple[str, bool], ...] | None
    size: Size
    is_live: bool = False


@dataclass(frozen=True)
class Document:
    operations: dict[str | None, Operation]

    def find(self, name: str | None) -> Operation:
        """The operation to run. Raises `OperationNotFound`."""
        if name is None and len(self.operations) == 1:
            return next(iter(self.operations.values()))
        if name is None:
            names = ", ".join(sorted(str(key) for key in self.operations))
            raise OperationNotFound(f"The document has several operations; set operationName to one of {names}.")
        if name not in self.operations:
            raise OperationNotFound(f"The document has no operation named “{name[:100]}”.")
        return self.operations[name]


class Documents:
    """Parses and validates once per text. `read` touches nothing that is shared: it may run in a thread."""

    def __init__(self, schema: GraphQLSchema, limits: Limits, *, size: int) -> None:
        self.schema = schema
        self.limits = limits
        self.size = size
        self.rules = [*specified_rules, *([] if limits.introspection else [NoSchemaIntrospectionCustomRule])]
        self._kept: OrderedDict[str, Document] = OrderedDict()
        self._characters = 0

    def kept(self, text: str) -> Document | None:
        """The document of a text that was asked for before."""
        found = self._kept.get(text)
        if found is not None:
            self._kept.move_to_end(text)
        return found

    def get(self, text: str) -> Document:
        """The document of a text, from now on kept. Raises `Rejected`."""
        found = self.kept(text)
        if found is None:
            found = self.read(text)
            self.keep(text, found)
        return found

    def keep(self, text: str, document: Document) -> None:
        if len(text) > LONGEST_KEPT or text in self._kept:
            return
        self._kept[text] = document
        self._characters += len(text)
        while len(self._kept) > self.size or self._characters > KEPT_CHARACTERS:
            gone, _ = self._kept.popitem(last=False)
            self._characters -= len(gone)

    def read(self, text: str, public: Public | None = None, name: str | None = None) -> Document:
        """A document read anew. Raises `Rejected`.

        With `public` a stranger asks, for the operation `name`: refused unless all its root fields are public.
        """
        try:
            document = self._parsed(text, stranger=public is not None)
            if public is not None:
                _refuse_strangers(document, name, public)
            size = measure.measured(document, self.limits.sizes)
        except CrmError as error:
            raise rejected(error) from None
        except RecursionError:
            raise rejected(QueryTooComplex("The document is nested too deeply.")) from None
        errors: list[GraphQLError] = validate(self.schema, document, self.rules, max_errors=MAX_ERRORS)
        if errors:
            listed = [_in_plain_words(error, hints=self.limits.introspection) for error in errors]
            raise from_graphql(listed, "GRAPHQL_VALIDATION_FAILED")
        return self._prepared(text, size)

    def _parsed(self, text: str, *, stranger: bool) -> DocumentNode:
        longest = STRANGERS_LONGEST if stranger else LONGEST
        tokens = min(STRANGERS_TOKENS, self.limits.tokens) if stranger else self.limits.tokens
        if len(text) > longest:
            raise QueryTooComplex(f"The document has {len(text)} characters; {longest} are allowed. Use variables.")
        try:
            return parse(text, max_tokens=tokens)
        except GraphQLSyntaxError as error:
            if f"more than {tokens} tokens" in error.message:
                raise QueryTooComplex(f"The document has more than {tokens} tokens.") from None
            raise from_graphql([error], "GRAPHQL_PARSE_FAILED") from None

    def _prepared(self, text: str, size: Size) -> Document:
        """From a parse without tokens: see above."""
        document = parse(text, no_location=True)
        operations = {}
        for item in document.definitions:
            if isinstance(item, OperationDefinitionNode):
                name = item.name.value if item.name else None
                operations[name] = _known(prepare(self.schema, text, document, item), size)
        return Document(operations)


def _refuse_strangers(document: DocumentNode, name: str | None, public: Public) -> None:
    """Raises `Unauthenticated` unless the operation asks for public fields only. Fragments may be anything yet."""
    fragments = {item.name.value: item for item in document.definitions if isinstance(item, FragmentDefinitionNode)}
    operations = [item for item in document.definitions if isinstance(item, OperationDefinitionNode)]
    named = [item for item in operations if name is not None and item.name and item.name.value == name]
    for operation in named or operations:
        for root, _ in _roots(operation.selection_set, fragments, set()):
            if not public(operation.operation.value, root):
                raise Unauthenticated(LOG_IN)


def _known(prepared: Prepared, size: Size) -> Operation:
    """An operation of a validated document, read once."""
    node = prepared.operation
    roots = Counter(name for name, _ in set(_roots(node.selection_set, prepared.fragments, set())))
    texts = tuple(_text(item, prepared) for item in node.variable_definitions or ())
    known = tuple(item for item in texts if item is not None)
    plain = node.operation is OperationType.QUERY and known == texts
    introspects = not INTROSPECTION.isdisjoint(roots)
    is_live = any(each.name.value == LIVE for each in node.directives or ())
    return Operation(prepared, node.operation.value, roots, introspects, known if plain else None, size, is_live)


def _roots(
    selections: SelectionSetNode, fragments: dict[str, FragmentDefinitionNode], entered: set[str]
) -> Iterator[tuple[str, str]]:
    """Names of the root fields, with the keys that they have in the answer."""
    for item in selections.selections:
        if isinstance(item, FieldNode):
            yield item.name.value, (item.alias or item.name).value
        elif not isinstance(item, FragmentSpreadNode):
            yield from _roots(item.selection_set, fragments, entered)  # type: ignore[attr-defined]
        elif item.name.value not in entered and item.name.value in fragments:
            entered.add(item.name.value)
            yield from _roots(fragments[item.name.value].selection_set, fragments, entered)


def _text(definition: VariableDefinitionNode, prepared: Prepared) -> tuple[str, bool] | None:
    """A variable's name and whether it may be absent, if strings are taken as they are."""
    name = definition.variable.name.value
    kind = prepared.kinds[name]
    if get_nullable_type(kind) not in (GraphQLString, GraphQLID):
        return None
    return name, not isinstance(kind, GraphQLNonNull) and definition.default_value is None


def _in_plain_words(error: GraphQLError, *, hints: bool) -> GraphQLError:
    """Python refuses to read numbers of thousands of digits, in words that mean nothing to a client. Without `hints`
    the message names nothing of the schema but what was asked for."""
    if PYTHON_ON_DIGITS in error.message:
        return GraphQLError("A number has too many digits.", error.nodes)
    if not hints and HINT in error.message:
        return GraphQLError(error.message.partition(HINT)[0], error.nodes)
    return error
