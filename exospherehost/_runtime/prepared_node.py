"""A node class with its validators and serialiser, looked up once instead of for every state."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from exospherehost._nodes.node import BaseNode, declares_secrets
from exospherehost._nodes.node_models import protect
from exospherehost._redaction import validated
from exospherehost._runtime.node_outputs import OutputDumper

_ADVICE_FOR_INPUTS = {
    "missing": "add it to this node's inputs in the graph, and put the graph again, or give the field a default"
}
_ADVICE_FOR_SECRETS = {"missing": "put the graph again with it among its secrets, or give the field a default"}


class StateError(Exception):
    """Why a state cannot be executed; its text can be reported as it is."""


class PreparedNode:
    """A node class, ready to execute states.

    Args:
        node: The class.

    Attributes:
        make: The class.
        runs_in_process: Whether its executions have a process of their own.
        has_secrets: Whether it needs any secrets.
        dumped: Returns what `execute` returned as JSON has it.
        timeout: Its time-out, in seconds; None for none.
        place: The file and line of its `execute`, for errors that come from no line of the user's code.
    """

    __slots__ = (
        "_about_inputs",
        "_about_secrets",
        "_validate_inputs",
        "_validate_secrets",
        "dumped",
        "has_secrets",
        "make",
        "place",
        "runs_in_process",
        "timeout",
    )

    def __init__(self, node: type[BaseNode]) -> None:
        self.make = node
        # A class may have been given other models after it was made.
        protect(node.Secrets)
        self._validate_inputs = node.Inputs.__pydantic_validator__.validate_python
        self._validate_secrets = node.Secrets.__pydantic_validator__.validate_python
        self._about_inputs = (f"{node.__name__}.Inputs", _ADVICE_FOR_INPUTS)
        self._about_secrets = (f"{node.__name__}.Secrets", _ADVICE_FOR_SECRETS)
        self.runs_in_process = node.execution.kind == "process"
        self.has_secrets = declares_secrets(node)
        self.dumped = OutputDumper(node)
        self.timeout = node.execution.timeout
        code = getattr(inspect.unwrap(node.execute), "__code__", None)
        self.place = node.__module__ if code is None else f"{code.co_filename}:{code.co_firstlineno}"

    def set_inputs(self, node: BaseNode, inputs: Mapping[str, Any]) -> None:
        """Validate inputs and give them to an instance.

        Raises:
            StateError: They do not fit `Inputs`.
        """
        node.inputs = validated(self._validate_inputs, inputs, StateError, *self._about_inputs)

    def set_secrets(self, node: BaseNode, secrets: Mapping[str, str]) -> None:
        """Validate secrets and give them to an instance.

        Raises:
            StateError: They do not fit `Secrets`.
        """
        node.secrets = validated(self._validate_secrets, secrets, StateError, *self._about_secrets)
