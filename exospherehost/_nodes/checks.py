"""Checks of node classes before a runtime starts."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import BaseModel

from exospherehost._errors import ConfigurationError
from exospherehost._nodes.node import BaseNode, Execution
from exospherehost._nodes.node_models import MODELS
from exospherehost._nodes.text_fields import is_text


def check_nodes(nodes: Sequence[type[BaseNode]]) -> None:
    """Refuse node classes that the service cannot use, with all problems in one error.

    Raises:
        ConfigurationError: names each node, model and field, and the remedy.
    """
    problems: list[str] = []
    seen: set[str] = set()
    for node in nodes:
        if not (inspect.isclass(node) and issubclass(node, BaseNode)):
            problems.append(f"{getattr(node, '__name__', repr(node))} is not a class that inherits from BaseNode")
            continue
        if node.__name__ in seen:
            problems.append(f"{node.__name__} is given twice in nodes; node names are unique, so rename one class")
        seen.add(node.__name__)
        problems.extend(_execute_problems(node))
        problems.extend(_execution_problems(node))
        for name in MODELS:
            problems.extend(_model_problems(node, name))
            problems.extend(_misspelt_model(node, name))
    if problems:
        raise ConfigurationError("these nodes cannot be registered:\n- " + "\n- ".join(problems))


def _execute_problems(node: type[BaseNode]) -> list[str]:
    if inspect.isabstract(node):
        return [f"{node.__name__} has no execute method; define `async def execute(self)`"]
    problems: list[str] = []
    if not callable(node.execute):
        problems.append(f"{node.__name__}.execute is a {_spelled(type(node.execute))}; make it a method")
    elif inspect.isasyncgenfunction(node.execute) or inspect.isgeneratorfunction(node.execute):
        problems.append(f"{node.__name__}.execute yields; return one Outputs, or a list of them to fan out")
    elif _needs_arguments(node.execute, given=1):
        problems.append(f"{node.__name__}.execute needs arguments, but is called without any; read self.inputs")
    if _needs_arguments(node, given=0):
        problems.append(f"{node.__name__}.__init__ needs arguments, but is called without any; give each a default")
    return problems


def _execution_problems(node: type[BaseNode]) -> list[str]:
    if not isinstance(node.execution, Execution):
        return [f"{node.__name__}.execution is a {_spelled(type(node.execution))}; make it an Execution(...)"]
    if node.execution.kind != "process":
        return []
    needed = {node.__name__: node, **{f"{node.__name__}.{name}": getattr(node, name) for name in MODELS}}
    return [
        f'{name} cannot be imported by the process that kind="process" executes it in; '
        "define it at the top level of a module, under its own name"
        for name, part in needed.items()
        if not _is_importable(part)
    ]


def _is_importable(part: object) -> bool:
    try:
        # pickle sends a class to another process as its import name.
        pickle.dumps(part)
    except (pickle.PicklingError, AttributeError, TypeError, ImportError):
        return False
    return True


def _needs_arguments(function: Callable[..., Any], *, given: int) -> bool:
    try:
        inspect.signature(function).bind(*[None] * given)
    except TypeError:
        return True
    except ValueError:
        # A built-in function may have no signature.
        return False
    return False


def _model_problems(node: type[BaseNode], name: str) -> list[str]:
    model = getattr(node, name)
    if not (inspect.isclass(model) and issubclass(model, BaseModel)):
        return [f"{node.__name__}.{name} is not a class that inherits from pydantic.BaseModel"]
    return [
        f"{node.__name__}.{name}.{field_name} is {_spelled(field.annotation)}; in v1 every field is text, so declare "
        "`str` (or a choice of strings, or `str | None`) and serialise other values, for instance with json.dumps"
        for field_name, field in model.model_fields.items()
        if field.annotation is not str and not is_text(field.annotation, is_secret=name == "Secrets")
    ]


def _misspelt_model(node: type[BaseNode], name: str) -> list[str]:
    singular = name.removesuffix("s")
    model = getattr(node, singular, None)
    if not (inspect.isclass(model) and issubclass(model, BaseModel)):
        return []
    return [f"{node.__name__}.{singular} is a model that no node has; rename it to {name}"]


def _spelled(annotation: Any) -> str:
    return annotation.__name__ if inspect.isclass(annotation) else str(annotation)
