"""Registration of a runtime's nodes."""

from __future__ import annotations

import asyncio
import logging

from exospherehost._errors import APIError, APIResponseError
from exospherehost._nodes.node import secret_names
from exospherehost._nodes.text_fields import plain_schema
from exospherehost._runtime.settings import RuntimeSettings
from exospherehost._transport.retry import Backoff, is_transient
from exospherehost._transport.runtime_session import RuntimeSession
from exospherehost._transport.service_warnings import WarningLog
from exospherehost_client import models

logger = logging.getLogger(__name__)

_REGISTRATION = Backoff(initial=0.25, maximum=15.0)


async def register(session: RuntimeSession, plan: RuntimeSettings) -> None:
    """Register the nodes, waiting for a service that cannot be reached yet."""
    body = models.RegisterNodesRequest(
        runtime_name=plan.name,
        nodes=[
            models.NodeRegistration(
                name=name,
                inputs_schema=plain_schema(node.Inputs, "validation"),
                outputs_schema=plain_schema(node.Outputs, "serialization"),
                secrets=secret_names(node),
            )
            for name, node in plan.nodes.items()
        ],
    )
    attempt = 0
    while True:
        try:
            answer = await session.register_nodes(body)
        except APIError as error:
            # What cannot be read is a page of something that stands before the service.
            if not (is_transient(error) or isinstance(error, APIResponseError)):
                raise
            attempt += 1
            if attempt == 1:
                logger.warning("event=registration_failing runtime=%s reason=%s", plan.name, error)
            delay = _REGISTRATION.delay_after(attempt, error)
        else:
            if attempt:
                logger.info("event=registration_recovered runtime=%s failures=%d", plan.name, attempt)
            WarningLog().tell("register_nodes", answer.warnings)
            return
        await asyncio.sleep(delay)
