# The public names, each listed here alone: `__init__.py` reads this file, and so do type checkers.

from exospherehost._config import VERSION as VERSION
from exospherehost._config import ConnectionOptions as ConnectionOptions
from exospherehost._config import Timeouts as Timeouts
from exospherehost._errors import APIConnectionError as APIConnectionError
from exospherehost._errors import APIError as APIError
from exospherehost._errors import APIResponseError as APIResponseError
from exospherehost._errors import APIStatusError as APIStatusError
from exospherehost._errors import APITimeoutError as APITimeoutError
from exospherehost._errors import AuthenticationError as AuthenticationError
from exospherehost._errors import BadRequestError as BadRequestError
from exospherehost._errors import ConfigurationError as ConfigurationError
from exospherehost._errors import ConflictError as ConflictError
from exospherehost._errors import ExosphereError as ExosphereError
from exospherehost._errors import GraphValidationError as GraphValidationError
from exospherehost._errors import GraphValidationTimeoutError as GraphValidationTimeoutError
from exospherehost._errors import InvalidTriggerError as InvalidTriggerError
from exospherehost._errors import NotFoundError as NotFoundError
from exospherehost._errors import PayloadTooLargeError as PayloadTooLargeError
from exospherehost._errors import RateLimitError as RateLimitError
from exospherehost._errors import RunFailedError as RunFailedError
from exospherehost._errors import ServerFailureError as ServerFailureError
from exospherehost._errors import TriggerOutcomeUnknownError as TriggerOutcomeUnknownError
from exospherehost._errors import UnprocessableEntityError as UnprocessableEntityError
from exospherehost._errors import UnsupportedByServerError as UnsupportedByServerError
from exospherehost._errors import WaitTimeoutError as WaitTimeoutError
from exospherehost._graphs.models import CronTrigger as CronTrigger
from exospherehost._graphs.models import GraphNodeModel as GraphNodeModel
from exospherehost._graphs.models import RetryPolicyModel as RetryPolicyModel
from exospherehost._graphs.models import RetryStrategyEnum as RetryStrategyEnum
from exospherehost._graphs.models import StoreConfigModel as StoreConfigModel
from exospherehost._graphs.models import TriggerState as TriggerState
from exospherehost._graphs.models import UnitesModel as UnitesModel
from exospherehost._graphs.models import UnitesStrategyEnum as UnitesStrategyEnum
from exospherehost._nodes.node import BaseNode as BaseNode
from exospherehost._nodes.node import Execution as Execution
from exospherehost._nodes.node import NodeContext as NodeContext
from exospherehost._nodes.signals import PruneSignal as PruneSignal
from exospherehost._nodes.signals import ReQueueAfterSignal as ReQueueAfterSignal
from exospherehost._runtime.runtime import Runtime as Runtime
from exospherehost._runtime.stats import RuntimeStats as RuntimeStats
from exospherehost._state_manager.runs import Run as Run
from exospherehost._state_manager.runs import Transition as Transition
from exospherehost._state_manager.state_manager import StateManager as StateManager
from exospherehost._state_manager.sync_state_manager import SyncStateManager as SyncStateManager

__version__: str
