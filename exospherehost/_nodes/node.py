"""The base class of the nodes that users write. It knows no transport."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Generic, Literal, NamedTuple, TypeAlias, cast, get_args

from pydantic import BaseModel
from typing_extensions import TypeVar

from exospherehost._errors import ConfigurationError
from exospherehost._nodes.node_models import models_in_brackets, protect
from exospherehost._redaction import constant

InputsT = TypeVar("InputsT", default=Any)
OutputsT = TypeVar("OutputsT", default=Any)
SecretsT = TypeVar("SecretsT", default=Any)

LONGEST_TIMEOUT = 31_536_000
"""A year, in seconds."""

ExecutionKind: TypeAlias = Literal["auto", "thread", "process"]


@dataclass(frozen=True, slots=True)
class Execution:
    """How a node is executed; declared on its class as `execution = Execution(...)`.

    Attributes:
        timeout: seconds after which an execution is cancelled and reported as failed. A plain function in a
            thread cannot be stopped: it runs on, and its result is dropped. Default: no time-out.
        concurrency: the most executions of this node at once in a runtime; further states wait. Default: the
            number of the runtime's workers.
        kind: `"auto"` runs `async def` on the event loop and `def` in a thread. `"thread"` runs either in a thread,
            `async def` on a loop of its own. `"process"` runs it in a process of its own, for work that keeps a
            processor busy; that process must be able to import the class, so define it at the top level of a
            module and start the runtime under `if __name__ == "__main__":`. Default: `"auto"`.

    Raises:
        ConfigurationError: a value breaks a rule.
    """

    timeout: float | None = None
    concurrency: int | None = None
    kind: ExecutionKind = "auto"

    def __post_init__(self) -> None:
        # bool is a subclass of int, and a mistake here.
        is_number = isinstance(self.timeout, int | float) and not isinstance(self.timeout, bool)
        if self.timeout is not None and not (is_number and 0 < self.timeout <= LONGEST_TIMEOUT):
            raise ConfigurationError(
                f"timeout={self.timeout!r} is not a number of seconds above zero, up to {LONGEST_TIMEOUT:,}; "
                "pass None for no time-out"
            )
        is_whole = isinstance(self.concurrency, int) and not isinstance(self.concurrency, bool)
        if self.concurrency is not None and not (is_whole and self.concurrency > 0):
            raise ConfigurationError(f"concurrency={self.concurrency!r} is not a whole number of at least 1")
        if self.kind not in get_args(ExecutionKind):
            raise ConfigurationError(f"kind={self.kind!r} is not one of {', '.join(get_args(ExecutionKind))}")


# There is one for each state, and a frozen dataclass takes four times as long to make.
class NodeContext(NamedTuple):
    """The facts about the state that a node executes.

    Attributes:
        namespace: the namespace.
        node_name: the node's name.
        identifier: the node's identifier in the graph.
        state_id: the state's id.
        graph_name: the graph's name; None on a service without the extension `context`.
        run_id: the run's id; None on a service without the extension `context`.
        attempt: the number of this attempt, from 1; None on a service without the extension `context`.
        deadline: the moment in UTC at which this execution is cancelled; None without a time-out.
        shared: the value that the runtime's `lifespan` yielded; None without one, and in a process.
    """

    namespace: str
    node_name: str
    identifier: str
    state_id: str
    graph_name: str | None = None
    run_id: str | None = None
    attempt: int | None = None
    deadline: datetime | None = None
    shared: Any = None


class _Undeclared(BaseModel):
    """Stands for a model that a node does not declare."""

    _model: ClassVar[str]

    def __getattr__(self, name: str) -> Any:
        field, model = self._model.lower(), self._model
        raise AttributeError(
            constant(
                f"the node declares no {model}, so self.{field} has no {name!r}; "
                f"declare `class {model}(BaseModel)` with `{name}: str` in the node"
            )
        )


class _NoInputs(_Undeclared):
    _model = "Inputs"


class _NoOutputs(_Undeclared):
    _model = "Outputs"


class _NoSecrets(_Undeclared):
    _model = "Secrets"


class BaseNode(ABC, Generic[InputsT, OutputsT, SecretsT]):
    """A unit of work: pydantic models of its inputs, outputs and secrets, and `execute`.

    The models are nested classes named `Inputs`, `Outputs` and `Secrets`; each may be left out. In v1 every field is
    text: `str`, a choice of strings, or either with None. The class's name is the node's name.

    For full types, name the models in the brackets of the base class instead::

        class Shorten(BaseNode[ShortenInputs, ShortenOutputs]):
            async def execute(self) -> ShortenOutputs:
                return ShortenOutputs(text=self.inputs.text[:10])

    The runtime makes one instance for each state, so states share no attributes.

    Attributes:
        inputs: the state's inputs, an instance of `Inputs`; None before `execute`.
        secrets: the state's secrets, an instance of `Secrets`; None before `execute`.
        context: the state's ids, its deadline, and the runtime's shared value; set during `execute`.
        execution: time-out, concurrency and kind of execution, set on the class.
    """

    Inputs: ClassVar[type[BaseModel]] = _NoInputs
    Outputs: ClassVar[type[BaseModel]] = _NoOutputs
    Secrets: ClassVar[type[BaseModel]] = _NoSecrets

    execution: ClassVar[Execution] = Execution()

    inputs: InputsT = cast("InputsT", None)
    secrets: SecretsT = cast("SecretsT", None)
    context: NodeContext

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, model in models_in_brackets(cls, BaseNode).items():
            if name not in vars(cls):
                setattr(cls, name, model)
        # Every process that imports the node masks its secrets.
        protect(cls.Secrets)

    @abstractmethod
    def execute(self) -> OutputsT | Sequence[OutputsT] | Awaitable[OutputsT | Sequence[OutputsT] | None] | None:
        """Do the work, as `async def` on the event loop or as `def` in a thread.

        Returns:
            One `Outputs`, with which each next node runs once; a list of them to fan out, with which each next node
            runs once for each; None or an empty list for no output, with which each next node runs once. A dict or
            another model is taken as `Outputs` if it has no other fields. A field that is None and has a default is
            left out.

        Raises:
            PruneSignal: ends the state without next states.
            ReQueueAfterSignal: runs the state again after a delay.
            Exception: any other exception fails the state, and the graph's retry policy decides.
        """


def declares_secrets(node: type[BaseNode]) -> bool:
    """Tell whether a node needs any secrets."""
    return bool(node.Secrets.model_fields)


def secret_names(node: type[BaseNode]) -> list[str]:
    """List the names under which the service knows a node's secrets."""
    fields = node.Secrets.model_fields.items()
    return [
        field.validation_alias if isinstance(field.validation_alias, str) else field.alias or name
        for name, field in fields
    ]
