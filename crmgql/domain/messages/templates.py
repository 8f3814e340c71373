"""Templates of messages: a subset of Jinja2 that can neither run long nor reach anything but its variables.

Always holds: a template that passes `check` renders with any values of the same variables, so that mistakes are found when it is saved.
"""

from __future__ import annotations

from collections.abc import Mapping

from jinja2 import StrictUndefined, TemplateError, nodes
from jinja2.sandbox import SandboxedEnvironment

from crmgql.errors import BadUserInput

Values = Mapping[str, Mapping[str, str] | str]
"""Name → its attributes, or a text."""

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


def check(source: str | None, sample: Values, *, field: str) -> None:
    """Raises `BadUserInput` for a template that would not render with such values."""
    try:
        tree = ENVIRONMENT.parse(source or "")
        for node in tree.iter_child_nodes():
            _check(node, sample, field)
        render(source or "", sample)
    except (TemplateError, TypeError, ValueError, RecursionError, SyntaxError) as error:
        raise BadUserInput(f"The template can't be read: {error}.", field=field) from None


def render(source: str, values: Values) -> str:
    return ENVIRONMENT.from_string(source).render(values)


def _check(node: nodes.Node, sample: Values, field: str, depth: int = 0) -> None:
    if depth > DEEPEST:
        raise BadUserInput(f"The template is nested too deeply; {DEEPEST} levels are allowed.", field=field)
    if isinstance(node, nodes.Getattr) and isinstance(node.node, nodes.Name):
        known = sample.get(node.node.name)
        if not isinstance(known, str) and node.attr in (known or ()):
            return
        raise BadUserInput(f"There is no {node.node.name}.{node.attr}; there are {_names(sample)}.", field=field)
    if isinstance(node, nodes.Name) and not isinstance(sample.get(node.name), str):
        raise BadUserInput(f"There is no {node.name}; there are {_names(sample)}.", field=field)
    if not isinstance(node, ALLOWED) or isinstance(node, nodes.Getattr):
        raise BadUserInput(f"A template can't have {type(node).__name__}: variables, filters and if.", field=field)
    if isinstance(node, nodes.Filter):
        _check_filter(node, field)
    for child in node.iter_child_nodes():
        _check(child, sample, field, depth + 1)


def _check_filter(node: nodes.Filter, field: str) -> None:
    if node.name not in FILTERS:
        raise BadUserInput(f"There is no filter {node.name}; there are {', '.join(sorted(FILTERS))}.", field=field)
    if node.kwargs or node.dyn_args or node.dyn_kwargs or len(node.args) > FILTERS[node.name]:
        raise BadUserInput(f"The filter {node.name} takes {FILTERS[node.name]} values.", field=field)


def _names(sample: Values) -> str:
    return ", ".join(
        name if isinstance(parts, str) else f"{name}.{part}"
        for name, parts in sample.items()
        for part in ([""] if isinstance(parts, str) else sorted(parts))
    )
