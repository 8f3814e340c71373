"""Query text → parsed, validated, measured document; kept, bounded, by the text.

What may be rejected here: syntax, validation against the schema, and documents past the caps on length, tokens, depth,
aliases, directives, fields and repetitions. Fragments are measured as if written out, so that few of them can't hide a flood.
What a request asks of its operation again and again (its kind, its root fields) is read off here, once.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator
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
    parse,
    specified_rules,
    validate,
)

from crmgql.errors import OperationNotFound, QueryTooComplex
from crmgql.planner.plan import LONGEST_KEPT, Prepared, prepare
from crmgql.schema.errors import Rejected, from_graphql, rejected

LONGEST = 65_536
"""Characters of a document. Commas, blanks and what a comment says are no tokens, but are read all the same."""
MAX_FIELDS = 3000
MAX_REPEATS = 50
"""How often one selection may repeat a field: validation compares each such pair, and all that is below them."""
MAX_ERRORS = 20
INTROSPECTION = frozenset(("__schema", "__type"))
PYTHON_ON_DIGITS = "set_int_max_str_digits"


@dataclass(frozen=True)
class Limits:
    tokens: int
    depth: int
    aliases: int
    directives: int
    introspection: bool


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation and what is known of it before any request.

    `kind` is `query` or `mutation`. `roots` are the names of its root fields, those of fragments and those under a
    condition included. `texts`, of a query whose variables are all `String` or `ID`, are their names, each with whether
    it may be absent; None for other operations.
    """

    prepared: Prepared
    kind: str
    roots: frozenset[str]
    introspects: bool
    texts: tuple[tuple[str, bool], ...] | None


@dataclass(frozen=True)
class Document:
    operations: dict[str | None, Operation]

    def operation(self, name: str | None) -> Prepared:
        """The operation to run, as the planner takes it. Raises `OperationNotFound`."""
        return self.find(name).prepared

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
    """Parses and validates once per text."""

    def __init__(self, schema: GraphQLSchema, limits: Limits, *, size: int) -> None:
        self.schema = schema
        self.limits = limits
        self.size = size
        self._kept: OrderedDict[str, Document | Rejected] = OrderedDict()

    def get(self, text: str) -> Document:
        """The document of a text. Raises `Rejected`."""
        found = self._kept.get(text)
        if found is None:
            try:
                found = self._read(text)
            except Rejected as error:
                found = error
            if len(text) <= LONGEST_KEPT:
                self._kept[text] = found
            if len(self._kept) > self.size:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(text)
        if isinstance(found, Rejected):
            raise Rejected(found.errors)
        return found

    def _read(self, text: str) -> Document:
        if len(text) > LONGEST:
            raise rejected(
                QueryTooComplex(f"The document has {len(text)} characters; {LONGEST} are allowed. Use variables.")
            )
        try:
            document = parse(text, max_tokens=self.limits.tokens)
        except GraphQLSyntaxError as error:
            if f"more than {self.limits.tokens} tokens" in error.message:
                raise rejected(QueryTooComplex(f"The document has more than {self.limits.tokens} tokens.")) from None
            raise from_graphql([error], "GRAPHQL_PARSE_FAILED") from None
        except RecursionError:
            raise rejected(QueryTooComplex("The document is nested too deeply.")) from None
        self._measure(document)
        rules = [*specified_rules, *([] if self.limits.introspection else [NoSchemaIntrospectionCustomRule])]
        errors: list[GraphQLError] = validate(self.schema, document, rules, max_errors=MAX_ERRORS)
        if errors:
            raise from_graphql([_in_plain_words(error) for error in errors], "GRAPHQL_VALIDATION_FAILED")
        operations = {}
        for item in document.definitions:
            if isinstance(item, OperationDefinitionNode):
                name = item.name.value if item.name else None
                operations[name] = _known(prepare(self.schema, text, document, item))
        return Document(operations)

    def _measure(self, document: DocumentNode) -> None:
        measure = _Measure(document)
        total = _Size(0, 0, 0, 0)
        for item in document.definitions:
            if isinstance(item, OperationDefinitionNode):
                total = total.beside(measure.of(item.selection_set)).plus(directives=len(item.directives or ()))
        caps = (
            ("levels deep", total.depth, self.limits.depth),
            ("aliases", total.aliases, self.limits.aliases),
            ("directives", total.directives, self.limits.directives),
            ("fields", total.fields, MAX_FIELDS),
            ("times the same field in one place", total.repeats, MAX_REPEATS),
        )
        for what, size, cap in caps:
            if size > cap:
                raise rejected(
                    QueryTooComplex(
                        f"With its fragments written out the document has {size} {what}; {cap} are allowed."
                    )
                )


def _known(prepared: Prepared) -> Operation:
    """An operation of a validated document, read once."""
    node = prepared.operation
    roots = frozenset(_roots(node.selection_set, prepared))
    texts = tuple(_text(item, prepared) for item in node.variable_definitions or ())
    known = tuple(item for item in texts if item is not None)
    plain = node.operation is OperationType.QUERY and known == texts
    return Operation(prepared, node.operation.value, roots, bool(roots & INTROSPECTION), known if plain else None)


def _roots(selections: SelectionSetNode, prepared: Prepared) -> Iterator[str]:
    for item in selections.selections:
        if isinstance(item, FieldNode):
            yield item.name.value
        elif isinstance(item, FragmentSpreadNode):
            yield from _roots(prepared.fragments[item.name.value].selection_set, prepared)
        else:
            yield from _roots(item.selection_set, prepared)  # type: ignore[attr-defined]


def _text(definition: VariableDefinitionNode, prepared: Prepared) -> tuple[str, bool] | None:
    """A variable's name and whether it may be absent, if strings are taken as they are."""
    name = definition.variable.name.value
    kind = prepared.kinds[name]
    required = isinstance(kind, GraphQLNonNull)
    if (kind.of_type if isinstance(kind, GraphQLNonNull) else kind) not in (GraphQLString, GraphQLID):
        return None
    return name, not required and definition.default_value is None


def _in_plain_words(error: GraphQLError) -> GraphQLError:
    """Python refuses to read numbers of thousands of digits, in words that mean nothing to a client."""
    if PYTHON_ON_DIGITS not in error.message:
        return error
    return GraphQLError("A number has too many digits.", error.nodes)


@dataclass(frozen=True)
class _Size:
    depth: int
    fields: int
    aliases: int
    directives: int
    repeats: int = 0

    def beside(self, other: _Size) -> _Size:
        return _Size(
            max(self.depth, other.depth),
            self.fields + other.fields,
            self.aliases + other.aliases,
            self.directives + other.directives,
            max(self.repeats, other.repeats),
        )

    def plus(self, *, depth: int = 0, fields: int = 0, aliases: int = 0, directives: int = 0) -> _Size:
        return _Size(
            self.depth + depth,
            self.fields + fields,
            self.aliases + aliases,
            self.directives + directives,
            self.repeats,
        )


class _Measure:
    """Sizes with fragments written out, each fragment measured once. A fragment that contains itself counts as empty
    inside itself; validation refuses it later."""

    def __init__(self, document: DocumentNode) -> None:
        self.fragments = {
            item.name.value: item for item in document.definitions if isinstance(item, FragmentDefinitionNode)
        }
        self.known: dict[str, _Size] = {}
        self.known_keys: dict[str, Counter[str]] = {}

    def of(self, selections: SelectionSetNode | None) -> _Size:
        total = _Size(0, 0, 0, 0, repeats=max(self._keys(selections).values(), default=0))
        for item in selections.selections if selections else ():
            directives = len(item.directives or ())
            if isinstance(item, FieldNode):
                inner = self.of(item.selection_set)
                size = inner.plus(depth=1, fields=1, aliases=1 if item.alias else 0, directives=directives)
            elif isinstance(item, FragmentSpreadNode):
                size = self._fragment(item.name.value).plus(directives=directives)
            else:
                size = self.of(item.selection_set).plus(directives=directives)  # type: ignore[attr-defined]
            total = total.beside(size)
        return total

    def _keys(self, selections: SelectionSetNode | None) -> Counter[str]:
        """How often each response key is selected, fragments included."""
        keys: Counter[str] = Counter()
        for item in selections.selections if selections else ():
            if isinstance(item, FieldNode):
                keys[(item.alias or item.name).value] += 1
            elif isinstance(item, FragmentSpreadNode):
                keys += self._keys_of_fragment(item.name.value)
            else:
                keys += self._keys(item.selection_set)  # type: ignore[attr-defined]
        return keys

    def _keys_of_fragment(self, name: str) -> Counter[str]:
        if name not in self.known_keys:
            self.known_keys[name] = Counter()
            fragment = self.fragments.get(name)
            if fragment is not None:
                self.known_keys[name] = self._keys(fragment.selection_set)
        return self.known_keys[name]

    def _fragment(self, name: str) -> _Size:
        if name not in self.known:
            self.known[name] = _Size(0, 0, 0, 0)
            fragment = self.fragments.get(name)
            if fragment is not None:
                self.known[name] = self.of(fragment.selection_set)
        return self.known[name]
