"""Templates of follow-ups: a subset of Jinja2 that can neither run long nor reach anything but its variables.

Always holds: a template that passes `check` renders for every lead, so that mistakes are found when a rule is saved.
"""

from __future__ import annotations

from typing import Any

from jinja2 import StrictUndefined, TemplateError, nodes
from jinja2.sandbox import SandboxedEnvironment

from crmgql.errors import BadUserInput

VARIABLES = {"lead": frozenset({"name", "first_name", "company"}), "owner": frozenset({"name"}), "unsubscribe": None}
"""Name → its attributes; `unsubscribe` is a text: the address to write to."""

FILTERS = {"capitalize": 0, "default": 2, "lower": 0, "title": 0, "trim": 0, "upper": 0}
"""Name → how many arguments it takes at most."""

ALLOWED = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Getattr,
    nodes.Const,
    nodes.Filter,
    nodes.If,
    nodes.CondExpr,
    nodes.Not,
    nodes.And,
    nodes.Or,
)
"""No loops, arithmetic or calls: the output is about as long as the template."""

DEEPEST = 32
"""Compiling takes time that grows with the cube of the depth: 250 nested filters blocked the process for over five seconds."""

ENVIRONMENT = SandboxedEnvironment(autoescape=False, undefined=StrictUndefined, keep_trailing_newline=True)
NAMES = ", ".join(
    f"{name}.{part}" if part else name for name, parts in VARIABLES.items() for part in sorted(parts or {""})
)


def check(source: str | None, *, field: str) -> None:
    """Raises `BadUserInput` for a template that would not render for every lead."""
    try:
        tree = ENVIRONMENT.parse(source or "")
        for node in tree.iter_child_nodes():
            _check(node, field)
        render(source or "", variables())
    except (TemplateError, TypeError, ValueError, RecursionError, SyntaxError) as error:
        raise BadUserInput(f"The template can't be read: {error}.", field=field) from None


def _check(node: nodes.Node, field: str, depth: int = 0) -> None:
    if depth > DEEPEST:
        raise BadUserInput(f"The template is nested too deeply; {DEEPEST} levels are allowed.", field=field)
    if isinstance(node, nodes.Getattr) and isinstance(node.node, nodes.Name):
        if node.attr in (VARIABLES.get(node.node.name) or ()):
            return
        raise BadUserInput(f"There is no {node.node.name}.{node.attr}; there are {NAMES}.", field=field)
    if isinstance(node, nodes.Name) and VARIABLES.get(node.name, ()) is not None:
        raise BadUserInput(f"There is no {node.name}; there are {NAMES}.", field=field)
    if not isinstance(node, ALLOWED) or isinstance(node, nodes.Getattr):
        raise BadUserInput(f"A template can't have {type(node).__name__}: variables, filters and if.", field=field)
    if isinstance(node, nodes.Filter):
        _check_filter(node, field)
    for child in node.iter_child_nodes():
        _check(child, field, depth + 1)


def _check_filter(node: nodes.Filter, field: str) -> None:
    if node.name not in FILTERS:
        raise BadUserInput(f"There is no filter {node.name}; there are {', '.join(sorted(FILTERS))}.", field=field)
    if node.kwargs or node.dyn_args or node.dyn_kwargs or len(node.args) > FILTERS[node.name]:
        raise BadUserInput(f"The filter {node.name} takes {FILTERS[node.name]} values.", field=field)


def variables(
    *, name: str = "", company: str | None = None, owner: str | None = None, unsubscribe: str | None = None
) -> dict[str, Any]:
    """The variables of a template; an unknown value is an empty text, so that `{% if lead.company %}` works."""
    first = name.split()[0] if name.split() else ""
    return {
        "lead": {"name": name, "first_name": first, "company": company or ""},
        "owner": {"name": owner or ""},
        "unsubscribe": unsubscribe or "",
    }


def render(source: str, values: dict[str, Any]) -> str:
    return ENVIRONMENT.from_string(source).render(values)
