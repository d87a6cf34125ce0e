"""Whether executions are observed: through OpenTelemetry's API, where that is installed."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from exospherehost._runtime.stats import Counters
from exospherehost._runtime.worker_pool import Executes


@contextmanager
def observed(
    executor: Executes, counters: Counters, *, namespace: str, runtime: str
) -> Generator[Executes, None, None]:
    """Give an executor that makes spans and metrics for the length of the block, or the same one without the API.

    Args:
        executor: executes a state.
        counters: what the metrics tell.
        namespace: an attribute of spans and metrics.
        runtime: the runtime's name, an attribute of metrics.
    """
    try:
        # Only here, so that it costs nothing where no runtime runs.
        from exospherehost._runtime.opentelemetry import ObservedExecutor, metered  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "opentelemetry":
            raise
        yield executor
        return
    with metered(counters, namespace=namespace, runtime=runtime):
        yield ObservedExecutor(executor, namespace)
