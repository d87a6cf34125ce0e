"""The outputs of a node, as JSON has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

from pydantic import BaseModel

from exospherehost._nodes.node import BaseNode
from exospherehost._nodes.text_fields import input_names, optional_outputs
from exospherehost._redaction import Message, constant, validated

_KEYS_SHOWN = 5


class OutputError(Exception):
    """What `execute` returned is not what the node declares; the text can be reported as it is."""


class OutputDumper:
    """Dumps what `execute` returns.

    A dict or another model is taken too, if it fits `Outputs`.

    Args:
        node: The node's class.
    """

    __slots__ = ("_dump", "_keys", "_name", "_optional", "_outputs", "_secrets")

    def __init__(self, node: type[BaseNode]) -> None:
        self._name = node.__name__
        self._outputs = node.Outputs
        self._secrets = node.Secrets
        self._keys = input_names(node.Outputs)
        self._optional = optional_outputs(node.Outputs)
        # The work of `model_dump` without its Python part, which takes longer than the rest.
        is_plain = node.Outputs.model_dump is BaseModel.model_dump
        self._dump = node.Outputs.__pydantic_serializer__.to_python if is_plain else node.Outputs.model_dump

    def __call__(self, result: Any) -> list[dict[str, Any]]:
        """Return the outputs that `execute` returned, as JSON has them.

        Raises:
            OutputError: It returned something else.
        """
        if result is None:
            return []
        items = cast("Sequence[Any]", result) if isinstance(result, list | tuple) else (result,)
        return [self._dumped(output) for output in items]

    def _dumped(self, result: Any) -> dict[str, Any]:
        output: BaseModel = result if isinstance(result, self._outputs) else self._fitted(result)
        dump: Callable[..., Any] = self._dump if type(output) is self._outputs else type(output).model_dump
        dumped: Any = dump(output, mode="json", by_alias=True)
        if not isinstance(dumped, dict):
            kind = type(dumped).__name__
            raise OutputError(
                constant(f"{self._name}.Outputs is serialized as a {kind}; let its serializer return a dict")
            )
        outputs = cast("dict[str, Any]", dumped)
        return self._without_none(outputs) if self._optional else outputs

    def _fitted(self, output: Any) -> BaseModel:
        """Make `Outputs` of a dict or of another model."""
        # Secrets in place of outputs are a mistake, and would leave the process.
        kind = type(output).__name__
        if isinstance(output, dict):
            values = cast("dict[str, Any]", output)
        elif isinstance(output, BaseModel) and not isinstance(output, self._secrets):
            values = output.model_dump()
        else:
            raise OutputError(
                constant(
                    f"{self._name}.execute returned a {kind}; return {self._name}.Outputs, a list of them, or None"
                )
            )
        unknown = [str(key) for key in values if key not in self._keys]
        if unknown and self._outputs.model_config.get("extra") != "allow":
            has = ", ".join(self._outputs.model_fields) or "no fields"
            raise OutputError(
                Message(
                    "{} with {}{}",
                    constant(f"{self._name}.execute returned a {kind}"),
                    ", ".join(map(repr, unknown[:_KEYS_SHOWN])),
                    constant(
                        f", which {self._name}.Outputs does not have; it has {has}: "
                        f"return {self._name}.Outputs, or a dict or model with these fields"
                    ),
                )
            )
        validate = partial(self._outputs.model_validate, by_alias=True, by_name=True)
        return validated(validate, values, OutputError, f"{self._name}.Outputs")

    def _without_none(self, outputs: dict[str, Any]) -> dict[str, Any]:
        """Leave out fields that are None, which the service does not take."""
        kept: dict[str, Any] = {}
        for key, value in outputs.items():
            if value is not None or key not in self._optional:
                kept[key] = value
            elif not self._optional[key]:
                raise OutputError(
                    constant(
                        f"{self._name}.Outputs.{key} is None, and the service takes text only; return text, "
                        "or declare a default (`= None`), with which the field is left out"
                    )
                )
        return kept
