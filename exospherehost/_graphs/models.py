"""The graph models under their published names: thin subclasses of the generated models.

They make the checks of the published SDK before a request is sent: trimming, uniqueness, reserved words. They also
refuse unknown fields and misspelt placeholders.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from exospherehost_client import models

UnitesStrategyEnum = models.UniteStrategy
RetryStrategyEnum = models.RetryStrategy

RESERVED_IDENTIFIER = "store"

# Inputs, store values and unknown fields may hold values that must not be printed.
_HIDE_INPUT = ConfigDict(hide_input_in_errors=True)

_LONGEST_NAME = 200
_PLACE = rf"(?:[^\s{{}}$.]{{1,{_LONGEST_NAME}}}\s?\.\s?outputs|store)\s?\.\s?[^\s{{}}$.]{{1,{_LONGEST_NAME}}}"
# Each repetition is bounded, so that the search takes time in proportion to the text.
_MISSPELT = re.compile(rf"\$\{{\s?({_PLACE})\s?\}}|(?<!\$)\{{\{{\s?({_PLACE})\s?\}}\}}")


class _Written(BaseModel):
    """The base of the models that users write: it refuses unknown fields."""

    model_config = _HIDE_INPUT

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_fields(cls, values: object) -> object:
        _refuse_unknown_fields(cls, values)
        return values


def _refuse_unknown_fields(model: type[BaseModel], values: object) -> None:
    if not isinstance(values, dict):
        return
    problems: list[str] = []
    for name in cast("dict[str, Any]", values):
        if name not in model.model_fields:
            nearest = get_close_matches(str(name)[:_LONGEST_NAME], model.model_fields, n=1)
            remedy = f"did you mean {nearest[0]!r}?" if nearest else f"it has {', '.join(model.model_fields)}"
            problems.append(f"{model.__name__} has no field {name!r}: {remedy}")
    if problems:
        raise ValueError("\n".join(problems))


def _misspelt_placeholders(inputs: dict[str, Any]) -> list[str]:
    """Describe each placeholder of an input's template that the service would take for plain text."""
    return [
        f"input {name!r} has {match.group()!r}, which the service takes for plain text; "
        f"write '${{{{{''.join((match[1] or match[2]).split())}}}}}'"
        for name, template in inputs.items()
        if isinstance(template, str)
        for match in _MISSPELT.finditer(template)
    ]


class TriggerState(_Written, models.TriggerEntry):
    """A state for a run to begin with.

    Attributes:
        identifier: the identifier of a node of the graph.
        inputs: text by input field; it replaces the template's inputs of that node. Default: none.
    """

    inputs: dict[str, str] = Field(default_factory=dict)


class UnitesModel(_Written, models.Unites):
    """Makes a node join all the states below another node.

    Attributes:
        identifier: the identifier of the united node.
        strategy: when the node joins them. Default: ALL_SUCCESS.
    """


class RetryPolicyModel(_Written, models.RetryPolicy):
    """How often and after which delays a failed state runs again; delays are in milliseconds."""


class GraphNodeModel(_Written, models.GraphNode):
    """A node's place in a graph.

    Attributes:
        node_name: the name of a registered node; trimmed, not blank.
        namespace: the namespace that the node is registered in.
        identifier: unique in the graph; trimmed, not blank, not `store`.
        inputs: text by input field. The service replaces `${{identifier.outputs.field}}` and `${{store.key}}` in it.
            Default: none.
        next_nodes: identifiers of the nodes that follow; trimmed, unique. Default: none.
        unites: makes the node a join. Default: None.
    """

    inputs: dict[str, Any] = Field(default_factory=dict)

    @field_validator("unites", mode="before")
    @classmethod
    def _check_fields_of_unites(cls, value: object) -> object:
        # The field has the generated type, which drops unknown fields.
        _refuse_unknown_fields(UnitesModel, value)
        return value

    @field_validator("inputs")
    @classmethod
    def _check_placeholders(cls, value: dict[str, Any]) -> dict[str, Any]:
        if problems := _misspelt_placeholders(value):
            raise ValueError("\n".join(problems))
        return value

    @field_validator("node_name")
    @classmethod
    def _check_node_name(cls, value: str) -> str:
        return _trimmed(value, "the node name")

    @field_validator("identifier")
    @classmethod
    def _check_identifier(cls, value: str) -> str:
        identifier = _trimmed(value, "the identifier")
        if identifier == RESERVED_IDENTIFIER:
            raise ValueError(f"the identifier {identifier!r} is reserved for the run's store; choose another")
        return identifier

    @field_validator("next_nodes")
    @classmethod
    def _check_next_nodes(cls, value: list[str] | None) -> list[str] | None:
        return _unique(value or [], "the next node", problems=[])

    @field_validator("unites")
    @classmethod
    def _check_unites(cls, value: models.Unites | None) -> UnitesModel | None:
        if value is None:
            return None
        return UnitesModel(identifier=_trimmed(value.identifier, "the united identifier"), strategy=value.strategy)


class StoreConfigModel(_Written, models.StoreConfig):
    """The keys of a run's store; trimmed, unique, not blank and without a dot.

    Attributes:
        required_keys: keys that every trigger must give. Default: none.
        default_values: text for keys that a trigger does not give. Default: none.
    """

    @field_validator("required_keys")
    @classmethod
    def _check_required_keys(cls, value: list[str]) -> list[str]:
        return _unique(value, "the store key", problems=_with_dots(value))

    @field_validator("default_values")
    @classmethod
    def _check_default_values(cls, value: dict[str, str]) -> dict[str, str]:
        keys = _unique(list(value), "the store key", problems=_with_dots(value))
        return dict(zip(keys, map(str, value.values()), strict=True))


class CronTrigger(_Written):
    """Runs a graph on a schedule.

    Attributes:
        expression: five fields (minute, hour, day of month, month, day of week), a sixth for seconds, a seventh for
            years. The embedded service reads it in UTC, the hosted service in the local time of its host.
    """

    expression: str

    def to_trigger(self) -> models.Trigger:
        """Return the trigger as it is sent."""
        return models.Trigger(type=models.TriggerType.CRON, value=models.CronSchedule(expression=self.expression))


def _trimmed(value: str, what: str) -> str:
    stripped = value.strip()
    if not stripped:
        raise ValueError(f"{what} is blank; give it a name")
    return stripped


def _unique(values: list[str], what: str, *, problems: list[str]) -> list[str]:
    """Trim values; refuse blank and repeated ones, with all problems in one error."""
    trimmed: list[str] = []
    for value in map(str.strip, values):
        if not value:
            problems.append(f"{what} is blank; leave it out or give it a name")
        elif value in trimmed:
            problems.append(f"{what} {value!r} is given twice; keep one")
        trimmed.append(value)
    if problems:
        raise ValueError("\n".join(problems))
    return trimmed


def _with_dots(keys: list[str] | dict[str, str]) -> list[str]:
    return [f"the store key {key!r} has a dot, which separates names in placeholders" for key in keys if "." in key]
