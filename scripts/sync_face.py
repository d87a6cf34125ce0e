"""Writes the synchronous face of the state manager from the asynchronous one; with `--check` it changes nothing."""

from __future__ import annotations

import argparse
import ast
import builtins
import difflib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "exospherehost._state_manager"
FOLDER = ROOT / "exospherehost" / "_state_manager"
# In the order of their methods in the written class.
SOURCES = {"state_manager": "StateManager", "run_operations": "RunOperations"}
TARGET = FOLDER / "sync_operations.py"
ITERATOR = "TaskIterator"
LONGEST_LINE = 120

HEAD = '''# written by scripts/sync_face.py from {sources}; do not edit
"""Every operation of the state manager, without `await`."""

from __future__ import annotations

{imports}

T = TypeVar("T")


class SyncOperations(ABC):
    """The methods of `StateManager`, without `await`; see :class:`exospherehost.SyncStateManager`."""

    _manager: StateManager

    @abstractmethod
    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Wait for what a coroutine returns."""

    @abstractmethod
    def _each(self, items: TaskIterator[T]) -> Generator[T, None, None]:
        """Iterate over what an asynchronous iterator yields."""
'''
ALWAYS = {
    "from abc import ABC, abstractmethod",
    "from collections.abc import Coroutine, Generator",
    "from typing import Any, TypeVar",
    f"from {PACKAGE}.state_manager import StateManager",
    f"from {PACKAGE}.task_iterator import TaskIterator",
}


def methods(tree: ast.Module, name: str) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, ast.arguments]]:
    """Yield the public methods of a class, each with the parameters that it is to have: its first overload's."""
    found = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    overloaded: dict[str, ast.arguments] = {}
    for node in found.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.name.startswith("_"):
            continue
        marks = {ast.unparse(mark) for mark in node.decorator_list}
        if "overload" in marks:
            overloaded.setdefault(node.name, node.args)
        elif not marks:
            yield node, overloaded.get(node.name, node.args)


def written(node: ast.FunctionDef | ast.AsyncFunctionDef, parameters: ast.arguments) -> str:
    """Return a method without `await`."""
    summary = (ast.get_docstring(node) or "").partition("\n\n")[0].replace("\n", " ").rstrip(".")
    given = [each.arg for each in parameters.args[1:]] + [f"{each.arg}={each.arg}" for each in parameters.kwonlyargs]
    call = f"self._manager.{node.name}({', '.join(given)})"
    returned = ast.unparse(node.returns) if node.returns is not None else "None"
    if returned.startswith(f"{ITERATOR}["):
        returned, wrapped = f"Generator[{returned[len(ITERATOR) + 1 : -1]}, None, None]", f"self._each({call})"
    else:
        wrapped = f"self._call({call})"
    more = f"`StateManager.{node.name}`"
    doc = f'"""{summary}; see {more}."""'
    if len(doc) > LONGEST_LINE - 8:
        doc = f'"""{summary}.\n\n    See {more}.\n    """'
    return f"def {node.name}({ast.unparse(parameters)}) -> {returned}:\n    {doc}\n    return {wrapped}\n"


def imports_for(text: str, trees: dict[str, ast.Module]) -> set[str]:
    """Return the imports of the names that some methods use, as the sources import them."""
    known: dict[str, str] = {}
    for module, tree in trees.items():
        for node in tree.body:
            if isinstance(node, ast.ImportFrom) and node.module != "__future__":
                known.update({alias.name: f"from {node.module} import {alias.name}" for alias in node.names})
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                known[node.target.id] = f"from {PACKAGE}.{module} import {node.target.id}"
    used = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
    return {known[name] for name in used - set(dir(builtins)) if name in known}


def rendered() -> str:
    """Return the text of the written module."""
    trees = {module: ast.parse((FOLDER / f"{module}.py").read_text(encoding="utf-8")) for module in SOURCES}
    parts = [written(*method) for module, name in SOURCES.items() for method in methods(trees[module], name)]
    body = "\n".join(parts)
    imports = "\n".join(sorted(ALWAYS | imports_for(body, trees)))
    head = HEAD.format(sources=" and ".join(f"{module}.py" for module in SOURCES), imports=imports)
    indented = "\n".join(f"    {line}" if line else "" for line in body.splitlines())
    text = f"{head}\n{indented}\n"
    for options in (["check", "--select", "I,F401", "--fix-only", "--quiet"], ["format", "--quiet"]):
        command = [sys.executable, "-m", "ruff", *options, "--stdin-filename", str(TARGET), "-"]
        text = subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout
    return text


def main() -> int:
    """Write the module, or say whether it is as it would be written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 if anything would change")
    arguments = parser.parse_args()
    before = TARGET.read_text(encoding="utf-8") if TARGET.exists() else ""
    after = rendered()
    if arguments.check:
        name = str(TARGET.relative_to(ROOT))
        lines = before.splitlines(keepends=True), after.splitlines(keepends=True)
        sys.stdout.writelines(difflib.unified_diff(*lines, name, "as it would be written"))
        return int(before != after)
    TARGET.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
