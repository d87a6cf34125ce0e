"""Reads code blocks, links and names out of a Markdown document."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_VARIABLE = re.compile(r"\b(?:EXOSPHERE_[A-Z_]+|CORS_ORIGINS)\b")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, the line that the text begins at, and the page that it is on."""

    language: str
    text: str
    line: int
    page: str

    @property
    def blocks_for_ever(self) -> bool:
        """Whether it starts a runtime and waits for its end."""
        tree = ast.parse(self.text)
        calls = [node.value for node in tree.body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)]
        return any(isinstance(call.func, ast.Attribute) and call.func.attr == "start" for call in calls)

    @property
    def uncalled(self) -> list[tuple[str, list[str]]]:
        """The coroutine functions that it defines and does not use, with their parameters."""
        tree = ast.parse(self.text)
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        functions = [node for node in tree.body if isinstance(node, ast.AsyncFunctionDef)]
        return [(each.name, [arg.arg for arg in each.args.args]) for each in functions if each.name not in used]


def blocks(document: str, language: str, page: str = "README") -> list[Block]:
    """All fenced blocks of a language."""
    return [
        Block(match[1], match[2], document.count("\n", 0, match.start(2)) + 1, page)
        for match in _FENCE.finditer(document)
        if match[1] == language
    ]


def commands(document: str) -> list[list[str]]:
    """The command lines of the shell blocks, without comments and variables before them."""
    lines = [line for block in blocks(document, "bash") for line in block.text.splitlines()]
    words = [line.partition(" #")[0].split() for line in lines if not line.startswith("#")]
    return [each for each in words if each]


def local_links(document: str) -> list[str]:
    """The links that lead into the repository."""
    targets = [match[1].partition("#")[0] for match in _LINK.finditer(document)]
    return [target for target in targets if target and "://" not in target and not target.startswith("mailto:")]


def variables(document: str) -> set[str]:
    """The environment variables that it names."""
    return set(_VARIABLE.findall(document))
