"""Typed Python SDK of ExosphereHost: nodes, runtimes, graphs and triggers."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING

if _TYPE_CHECKING:
    from exospherehost._config import VERSION, Timeouts
    from exospherehost._errors import (
        APIConnectionError,
        APIError,
        APIResponseError,
        APIStatusError,
        APITimeoutError,
        AuthenticationError,
        BadRequestError,
        ConfigurationError,
        ConflictError,
        ExosphereError,
        GraphValidationError,
        GraphValidationTimeoutError,
        InvalidTriggerError,
        NotFoundError,
        PayloadTooLargeError,
        RateLimitError,
        RunFailedError,
        ServerFailureError,
        TriggerOutcomeUnknownError,
        UnprocessableEntityError,
        UnsupportedByServerError,
        WaitTimeoutError,
    )
    from exospherehost._graphs.models import (
        CronTrigger,
        GraphNodeModel,
        RetryPolicyModel,
        RetryStrategyEnum,
        StoreConfigModel,
        TriggerState,
        UnitesModel,
        UnitesStrategyEnum,
    )
    from exospherehost._nodes.node import BaseNode, Execution, NodeContext
    from exospherehost._nodes.signals import PruneSignal, ReQueueAfterSignal
    from exospherehost._runtime.runtime import Runtime
    from exospherehost._runtime.stats import RuntimeStats
    from exospherehost._state_manager.runs import Run, Transition
    from exospherehost._state_manager.state_manager import StateManager
    from exospherehost._state_manager.sync_state_manager import SyncStateManager

__all__ = [
    "VERSION",
    "APIConnectionError",
    "APIError",
    "APIResponseError",
    "APIStatusError",
    "APITimeoutError",
    "AuthenticationError",
    "BadRequestError",
    "BaseNode",
    "ConfigurationError",
    "ConflictError",
    "CronTrigger",
    "Execution",
    "ExosphereError",
    "GraphNodeModel",
    "GraphValidationError",
    "GraphValidationTimeoutError",
    "InvalidTriggerError",
    "NodeContext",
    "NotFoundError",
    "PayloadTooLargeError",
    "PruneSignal",
    "RateLimitError",
    "ReQueueAfterSignal",
    "RetryPolicyModel",
    "RetryStrategyEnum",
    "Run",
    "RunFailedError",
    "Runtime",
    "RuntimeStats",
    "ServerFailureError",
    "StateManager",
    "StoreConfigModel",
    "SyncStateManager",
    "Timeouts",
    "Transition",
    "TriggerOutcomeUnknownError",
    "TriggerState",
    "UnitesModel",
    "UnitesStrategyEnum",
    "UnprocessableEntityError",
    "UnsupportedByServerError",
    "WaitTimeoutError",
]

# Each name is loaded when it is used first: pydantic, asyncio and the wire's models take a third of a second.
_HOMES = {
    "VERSION": "_config",
    "Timeouts": "_config",
    "APIConnectionError": "_errors",
    "APIError": "_errors",
    "APIResponseError": "_errors",
    "APIStatusError": "_errors",
    "APITimeoutError": "_errors",
    "AuthenticationError": "_errors",
    "BadRequestError": "_errors",
    "ConfigurationError": "_errors",
    "ConflictError": "_errors",
    "ExosphereError": "_errors",
    "GraphValidationError": "_errors",
    "GraphValidationTimeoutError": "_errors",
    "InvalidTriggerError": "_errors",
    "NotFoundError": "_errors",
    "PayloadTooLargeError": "_errors",
    "RateLimitError": "_errors",
    "RunFailedError": "_errors",
    "ServerFailureError": "_errors",
    "TriggerOutcomeUnknownError": "_errors",
    "UnprocessableEntityError": "_errors",
    "UnsupportedByServerError": "_errors",
    "WaitTimeoutError": "_errors",
    "CronTrigger": "_graphs.models",
    "GraphNodeModel": "_graphs.models",
    "RetryPolicyModel": "_graphs.models",
    "RetryStrategyEnum": "_graphs.models",
    "StoreConfigModel": "_graphs.models",
    "TriggerState": "_graphs.models",
    "UnitesModel": "_graphs.models",
    "UnitesStrategyEnum": "_graphs.models",
    "BaseNode": "_nodes.node",
    "Execution": "_nodes.node",
    "NodeContext": "_nodes.node",
    "Run": "_state_manager.runs",
    "Transition": "_state_manager.runs",
    "Runtime": "_runtime.runtime",
    "PruneSignal": "_nodes.signals",
    "ReQueueAfterSignal": "_nodes.signals",
    "StateManager": "_state_manager.state_manager",
    "RuntimeStats": "_runtime.stats",
    "SyncStateManager": "_state_manager.sync_state_manager",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(_import_module(f"{__name__}.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return [*__all__, "__all__", "__doc__", "__file__", "__name__", "__path__"]
