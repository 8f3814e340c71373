"""What rules may leave open until a statement runs, and the one place that binds it.

Rules are SQL expressions; all that they take from the request are the parameters declared here. Enters: the sources of a
rendered statement and the viewer. Leaves: their values, in order. Always holds: a source that is neither declared here
nor passed by name raises, rather than being bound to something else.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from crmgql.sql import ast
from crmgql.sql.render import render_selects
from crmgql.viewer import Viewer


@dataclass(frozen=True, slots=True)
class ViewerId:
    """Parameter source: the id of the user who asks."""


VIEWER_ID = ast.Param(ViewerId(), "uuid")
TEAM = ast.Cast(
    ast.Subquery(ast.Select(((ast.Func("team_reach", (VIEWER_ID,)), "ids"),))),
    "uuid[]",
)
"""The manager, the members of the teams under them and those teams' managers; evaluated once per statement."""

Parameter = ViewerId


def value_of(source: Hashable, viewer: Viewer) -> Any:
    """A declared parameter's value for a viewer. Raises `TypeError` for any other source."""
    match source:
        case ViewerId():
            return viewer.user_id
        case _:
            raise TypeError(f"{source!r} is no parameter of a rule, and nothing else gives it a value")


def bind(sources: Iterable[Hashable], viewer: Viewer, **given: Any) -> list[Any]:
    """The values of a statement's parameters: those passed by name, and of the others the viewer's."""
    return [
        given[source] if isinstance(source, str) and source in given else value_of(source, viewer) for source in sources
    ]


def statement(
    template: str, viewer: Viewer, *, selects: Mapping[str, ast.Select], **given: Any
) -> tuple[str, list[Any]]:
    """SQL that is written by hand around selects under rules, with the values of its parameters.

    `template` is a format string: `{leads}` stands for the select of this name, `{since}` for a parameter whose value is
    passed by this name. Values that are not in the template are left out.
    """
    text, sources = written(template, selects, *given)
    return text, bind(sources, viewer, **given)


def written(template: str, selects: Mapping[str, ast.Select], *names: str) -> tuple[str, list[Hashable]]:
    """The SQL of a `statement` with the sources of its parameters, for `bind`: to be kept where it is needed often. `names` are
    those of the values."""
    texts, rendered = render_selects(list(selects.values()))
    sources: list[Hashable] = list(rendered)
    places: dict[str, str] = dict(zip(selects, texts, strict=True))
    for name in names:
        if f"{{{name}}}" in template:
            sources.append(name)
            places[name] = f"${len(sources)}"
    return template.format_map(places), sources
