"""The outputs of a node, as JSON has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from pydantic import BaseModel

from exospherehost._nodes.node import BaseNode


class OutputError(Exception):
    """What `execute` returned is not what the node declares; the text can be reported as it is."""


class DumpedOutputs(list[dict[str, Any]]):
    """Outputs that have been dumped already, in the process of their node."""


class OutputDumper:
    """Dumps what `execute` returns.

    Args:
        node: The node's class.
    """

    __slots__ = ("_dump", "_name", "_outputs")

    def __init__(self, node: type[BaseNode]) -> None:
        self._name = node.__name__
        self._outputs = node.Outputs
        # What `model_dump` comes to, without its Python part, which takes longer than the rest.
        is_plain = node.Outputs.model_dump is BaseModel.model_dump
        self._dump = node.Outputs.__pydantic_serializer__.to_python if is_plain else node.Outputs.model_dump

    def __call__(self, result: Any) -> list[dict[str, Any]]:
        """Return the outputs that `execute` returned, as JSON has them.

        Raises:
            OutputError: It returned something else.
        """
        if result is None:
            return []
        if isinstance(result, DumpedOutputs):
            return result
        items = cast("Sequence[Any]", result) if isinstance(result, list | tuple) else (result,)
        return [self._dumped(output) for output in items]

    def _dumped(self, output: Any) -> dict[str, Any]:
        name = self._name
        if not isinstance(output, self._outputs):
            raise OutputError(
                f"{name}.execute returned a {type(output).__name__}; return {name}.Outputs, a list of them, or None"
            )
        dump: Callable[..., Any] = self._dump if type(output) is self._outputs else type(output).model_dump
        dumped = dump(output, mode="json", by_alias=True)
        if not isinstance(dumped, dict):
            raise OutputError(
                f"{name}.Outputs is serialized as a {type(dumped).__name__}; let its serializer return a dict"
            )
        return cast("dict[str, Any]", dumped)
