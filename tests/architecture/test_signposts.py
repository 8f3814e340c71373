"""What docs and docstrings point at is there: modules, files, names."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import arq.worker
import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "crmgql"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
MODULES = {
    path.relative_to(PACKAGE).with_suffix("").as_posix().removesuffix("/__init__"): path
    for path in PACKAGE.rglob("*.py")
    if path != PACKAGE / "__init__.py"
}
LEAVES = {name.rpartition("/")[2] for name in MODULES}
LAYERS = {name.partition("/")[0] for name in MODULES} | {"crmgql", "tests", "bench"}
# Tables, columns and indexes by the models, fields by the schema, options of arq by arq.
KNOWN = [*(PACKAGE / "models").glob("*.py"), ROOT / "schema.graphql", Path(arq.worker.__file__)]
WORDS = "\n".join(path.read_text("utf-8") for path in KNOWN)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_paths_in_docs_are_there(page: Path) -> None:
    text = page.read_text("utf-8")
    paths = re.findall(r"`([a-z_]+(?:/[a-z_<>*]+)+(?:\.(?:py|sql|toml|md))?)/?`", text)
    assert [path for path in paths if path.partition("/")[0] in LAYERS and not _is_there(path)] == []


@pytest.mark.parametrize("name", sorted(MODULES))
def test_names_in_module_docstrings_are_there(name: str) -> None:
    """A backticked name is one of the module's own, of its neighbours, or a module."""
    path = MODULES[name]
    source = path.read_text("utf-8")
    docstring = ast.get_docstring(ast.parse(source)) or ""
    body = source.replace(docstring, "") if docstring else source
    names = re.findall(r"`([a-z_]+(?:[./][a-zA-Z_]+)*)(?:\([^`]*\))?`", docstring)
    assert [each for each in names if not _is_known(each, body, path)] == []


def _is_there(path: str) -> bool:
    stem = path.removesuffix(".py").removeprefix("crmgql/")
    pattern = re.sub(r"<[a-z_]+>", "*", path)
    found = any(True for base in (ROOT, PACKAGE) for end in ("", ".py") for _ in base.glob(pattern + end))
    return found or stem in MODULES


def _is_known(name: str, body: str, path: Path) -> bool:
    parts = re.split(r"[./]", name)
    if "/" in name:
        return parts[0] not in LAYERS or _is_there(name)
    if len(parts) == 1:
        return name in LEAVES or re.search(rf"\b{name}\b", body + WORDS) is not None
    owner, attribute = parts[-2:]
    modules = [module for each, module in MODULES.items() if each.rpartition("/")[2] == owner]
    own = re.search(rf"\b{re.escape(attribute)}\b", body) is not None
    return own or any(re.search(rf"\b{re.escape(attribute)}\b", module.read_text("utf-8")) for module in modules)
