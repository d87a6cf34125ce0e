"""Typed Python SDK of ExosphereHost: nodes, runtimes, graphs and triggers."""

from importlib.metadata import version as _version

from exospherehost._config import Timeouts
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
    ServerFailureError,
    TriggerOutcomeUnknownError,
    UnprocessableEntityError,
    UnsupportedByServerError,
)
from exospherehost._graph import (
    CronTrigger,
    GraphNodeModel,
    RetryPolicyModel,
    RetryStrategyEnum,
    StoreConfigModel,
    TriggerState,
    UnitesModel,
    UnitesStrategyEnum,
)
from exospherehost._node import BaseNode
from exospherehost._runtime import Runtime
from exospherehost._signals import PruneSignal, ReQueueAfterSignal
from exospherehost._state_manager import StateManager

VERSION = _version("exospherehost")

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
    "ExosphereError",
    "GraphNodeModel",
    "GraphValidationError",
    "GraphValidationTimeoutError",
    "InvalidTriggerError",
    "NotFoundError",
    "PayloadTooLargeError",
    "PruneSignal",
    "RateLimitError",
    "ReQueueAfterSignal",
    "RetryPolicyModel",
    "RetryStrategyEnum",
    "Runtime",
    "ServerFailureError",
    "StateManager",
    "StoreConfigModel",
    "Timeouts",
    "TriggerOutcomeUnknownError",
    "TriggerState",
    "UnitesModel",
    "UnitesStrategyEnum",
    "UnprocessableEntityError",
    "UnsupportedByServerError",
]
