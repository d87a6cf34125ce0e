"""Graphs in files: YAML or JSON, with the place of each mistake."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from exospherehost._graphs.models import CronTrigger, GraphNodeModel, RetryPolicyModel, StoreConfigModel
from exospherehost._rules import graph_check
from exospherehost._rules.json_values import as_list, is_object
from exospherehost._rules.model import GraphSpec, NodeSpec
from exospherehost_client.models import RegisteredNode

MOST_BYTES = 10_000_000
MOST_VALUES = 1_000_000
"""The most values in a file, with those that aliases repeat, which can be many in a small file."""

_Path = tuple[str | int, ...]


class GraphFile(BaseModel):
    """The content of a graph's file: what `StateManager.upsert_graph` takes, with the names of secrets only.

    Attributes:
        name: The graph's name.
        nodes: Its nodes; a node without a namespace is in the graph's.
        secrets: The names of its secrets.
        retry_policy: What happens when a state fails. Default: the service's.
        store_config: The keys of a run's store. Default: none.
        triggers: Its schedules. Default: none.
    """

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1)
    nodes: list[GraphNodeModel]
    secrets: list[str] = Field(default_factory=list)
    retry_policy: RetryPolicyModel = Field(default_factory=RetryPolicyModel)
    store_config: StoreConfigModel = Field(default_factory=StoreConfigModel)
    triggers: list[CronTrigger] = Field(default_factory=list[CronTrigger])

    def spec(self, namespace: str) -> GraphSpec:
        """Return the graph as the rules read it."""
        document = self.model_dump(mode="json")
        document["triggers"] = [trigger.to_trigger().model_dump(mode="json") for trigger in self.triggers]
        return GraphSpec.from_json({**document, "namespace": namespace})

    def document(self) -> dict[str, Any]:
        """Return the content of a file, without what is as it is by default."""
        content = self.model_dump(mode="json", exclude_defaults=True)
        return {name: content[name] for name in GraphFile.model_fields if name in content}

    def text(self) -> str:
        """Return the content of a YAML file."""
        return yaml.safe_dump(self.document(), sort_keys=False, allow_unicode=True, width=120)


@dataclass(frozen=True, slots=True)
class ReadGraph:
    """A graph that was read from a file.

    Attributes:
        path: The file.
        graph: Its content.
        lines: The line of each value, by the path of keys that leads to it.
    """

    path: Path
    graph: GraphFile
    lines: Mapping[_Path, int]

    def place(self, *path: str | int) -> str:
        """Return the file and line of a value, or of the nearest one around it."""
        return f"{self.path}:{_nearest(self.lines, path)}"

    def problems(self, namespace: str, registered: list[RegisteredNode]) -> list[str]:
        """Return what the state manager would refuse, by its own rules, each with its file and line.

        Args:
            namespace: The graph's namespace.
            registered: The nodes that are known to be registered in the namespaces that the graph uses.
        """
        spec = self.graph.spec(namespace)
        issues = graph_check.check_fields(spec.to_json())
        if issues:
            return [f"{self.place(*issue.loc[1:])}: {issue.msg}" for issue in issues]
        found = graph_check.check_template(spec)
        if not found:
            nodes = {
                (node.name, node.namespace): NodeSpec(
                    node.name, node.namespace, node.inputs_schema, node.outputs_schema, tuple(node.secrets)
                )
                for node in registered
            }
            found = graph_check.verify(spec, nodes, datetime.now(UTC))
        return [f"{self._place_of(problem)}: {problem}" for problem in found]

    def _place_of(self, problem: str) -> str:
        """Return the place of the node that a problem names first."""
        named = [
            (problem.find(quoted), at)
            for at, node in enumerate(self.graph.nodes)
            for quoted in (f"'{node.identifier}'", f"'{node.node_name}'")
            if quoted in problem
        ]
        return self.place("nodes", min(named)[1]) if named else self.place()


def read_graph(path: Path, namespace: str) -> ReadGraph:
    """Read a graph's file.

    Args:
        path: A YAML or JSON file.
        namespace: The namespace of nodes that name none.

    Raises:
        click.ClickException: The file cannot be read or breaks a rule; each mistake with its line.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise click.ClickException(f"{path} has more than {MOST_BYTES:,} bytes, which no graph has")
        root = yaml.compose(content.decode(), Loader=yaml.SafeLoader)
        loaded: object = yaml.safe_load(content)
    except OSError as error:
        raise click.ClickException(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise click.ClickException(f"{path} is not UTF-8") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark is not None else str(path)
        raise click.ClickException(f"{place}: {getattr(error, 'problem', None) or 'this is not YAML'}") from error
    lines: dict[_Path, int] = {}
    for keys, line in _lines(root):
        lines[keys] = line
        if len(lines) > MOST_VALUES:
            raise click.ClickException(f"{path} has more than {MOST_VALUES:,} values, which no graph has")
    if not is_object(loaded):
        raise click.ClickException(f"{path}: a graph's file has `name` and `nodes` at its top")
    _add_namespace(loaded, namespace)
    try:
        graph = GraphFile.model_validate(loaded)
    except ValidationError as error:
        problems = [
            f"{path}:{_line_of(lines, issue['loc'], issue['msg'])}: {'.'.join(map(str, issue['loc']))}: "
            f"{issue['msg'].removeprefix('Value error, ')}"
            for issue in error.errors(include_url=False, include_input=False)
        ]
        raise click.ClickException("\n".join(problems)) from error
    return ReadGraph(path, graph, lines)


def _add_namespace(document: dict[str, Any], namespace: str) -> None:
    for node in as_list(document.get("nodes")) or ():
        if is_object(node):
            node.setdefault("namespace", namespace)


def _lines(root: yaml.Node | None) -> Iterator[tuple[_Path, int]]:
    waiting: list[tuple[_Path, yaml.Node]] = [] if root is None else [((), root)]
    while waiting:
        path, node = waiting.pop()
        yield path, node.start_mark.line + 1
        if isinstance(node, yaml.MappingNode):
            waiting.extend(((*path, key.value), value) for key, value in node.value)
        elif isinstance(node, yaml.SequenceNode):
            waiting.extend(((*path, at), value) for at, value in enumerate(node.value))


def _line_of(lines: Mapping[_Path, int], path: _Path, message: str) -> int:
    # A model that refuses a field names it in its message alone.
    named = ((*path, name) for name in re.findall(r"'([^']*)'", message))
    return _nearest(lines, next((each for each in named if each in lines), path))


def _nearest(lines: Mapping[_Path, int], path: _Path) -> int:
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)
