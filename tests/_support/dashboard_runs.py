"""Runs worth looking at, made by a real runtime: for the dashboard's tests and its pictures."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel

from exospherehost import (
    BaseNode,
    CronTrigger,
    GraphNodeModel,
    GraphValidationError,
    PruneSignal,
    RetryPolicyModel,
    RetryStrategyEnum,
    Runtime,
    StoreConfigModel,
    SyncStateManager,
    UnitesModel,
    UnitesStrategyEnum,
)
from tests._support.eventually import eventually_sync

NAMESPACE = "billing"
NO_RETRIES = RetryPolicyModel(max_retries=0)
ONE_RETRY = RetryPolicyModel(max_retries=1, strategy=RetryStrategyEnum.FIXED, backoff_factor=600)

repaired = threading.Event()
"""Set where the fault behind a failed run has been mended, so that a retry succeeds."""


class FetchMailbox(BaseNode):
    """Reads the newest letters of a mailbox."""

    class Inputs(BaseModel):
        mailbox: str
        letters: str = "6"

    class Outputs(BaseModel):
        letter: str
        page: str

    async def execute(self) -> list[Outputs]:
        await asyncio.sleep(0.25)
        count = int(self.inputs.letters)
        return [self.Outputs(letter=f"{self.inputs.mailbox}-{n:05}", page=f'{{"number": {n}}}') for n in range(count)]


class Begin(BaseNode):
    """Holds what a run is about, so that a join has something to unite."""

    class Inputs(BaseModel):
        mailbox: str
        letters: str = "6"

    class Outputs(BaseModel):
        mailbox: str
        letters: str

    async def execute(self) -> Outputs:
        await asyncio.sleep(0.1)
        return self.Outputs(mailbox=self.inputs.mailbox, letters=self.inputs.letters)


class ReadInvoice(BaseNode):
    """Turns a letter into an invoice."""

    class Inputs(BaseModel):
        letter: str

    class Outputs(BaseModel):
        invoice: str
        amount: str
        currency: str

    async def execute(self) -> Outputs:
        number = int(self.inputs.letter.rpartition("-")[2])
        await asyncio.sleep(0.2 + 0.13 * (number * 7 % 5))
        if number % 50 == 17:
            raise PruneSignal({"reason": "an advertisement"})
        line = {"position": 1, "text": "Consulting", "net": f"{100 + number}.00"}
        return self.Outputs(
            invoice=f'{{"number": "R-{number:05}", "lines": [{line!r}]}}'.replace("'", '"'),
            amount=f"{100 + number}.00",
            currency="EUR",
        )


class CheckVat(BaseNode):
    """Asks the tax office whether a number is known."""

    class Inputs(BaseModel):
        invoice: str
        amount: str

    class Outputs(BaseModel):
        invoice: str

    class Secrets(BaseModel):
        vat_service_token: str

    async def execute(self) -> Outputs:
        await asyncio.sleep(0.3)
        if self.inputs.amount == "103.00" and not repaired.is_set():
            raise ValueError(
                f"VAT number DE12345678 is not known to the tax office (invoice of {self.inputs.amount} EUR)"
            )
        return self.Outputs(invoice=self.inputs.invoice)


class PostToLedger(BaseNode):
    """Posts an invoice."""

    class Inputs(BaseModel):
        invoice: str
        ledger: str

    class Outputs(BaseModel):
        posting: str

    async def execute(self) -> Outputs:
        await asyncio.sleep(0.2)
        return self.Outputs(posting=f"{self.inputs.ledger}/{abs(hash(self.inputs.invoice)) % 10_000}")


class SendReport(BaseNode):
    """Says that all is done."""

    class Inputs(BaseModel):
        mailbox: str

    class Outputs(BaseModel):
        sent: str

    async def execute(self) -> Outputs:
        await asyncio.sleep(0.3)
        return self.Outputs(sent=f"report of {self.inputs.mailbox}")


class Embed(BaseNode):
    """Works for a moment, as one of very many."""

    class Inputs(BaseModel):
        letter: str

    class Outputs(BaseModel):
        vector: str

    async def execute(self) -> Outputs:
        return self.Outputs(vector="0.1 0.7 0.2")


NODES: list[type[BaseNode]] = [FetchMailbox, Begin, ReadInvoice, CheckVat, PostToLedger, SendReport, Embed]


def node(identifier: str, kind: type[BaseNode] | str, **fields: Any) -> GraphNodeModel:
    name = kind if isinstance(kind, str) else kind.__name__
    return GraphNodeModel.model_validate(
        {"node_name": name, "namespace": NAMESPACE, "identifier": identifier, "inputs": {}, **fields}
    )


INVOICES = [
    node("begin", Begin, inputs={"mailbox": "invoices", "letters": "6"}, next_nodes=["fetch"]),
    node(
        "fetch",
        FetchMailbox,
        inputs={"mailbox": "${{begin.outputs.mailbox}}", "letters": "${{begin.outputs.letters}}"},
        next_nodes=["read"],
    ),
    node("read", ReadInvoice, inputs={"letter": "${{fetch.outputs.letter}}"}, next_nodes=["check-vat", "archive"]),
    node(
        "check-vat",
        CheckVat,
        inputs={"invoice": "${{read.outputs.invoice}}", "amount": "${{read.outputs.amount}}"},
        next_nodes=["post"],
    ),
    node(
        "post",
        PostToLedger,
        inputs={"invoice": "${{check-vat.outputs.invoice}}", "ledger": "${{store.ledger}}"},
        next_nodes=["report"],
    ),
    node("archive", Embed, inputs={"letter": "${{read.outputs.invoice}}"}),
    node(
        "report",
        SendReport,
        inputs={"mailbox": "${{begin.outputs.mailbox}}"},
        unites=UnitesModel(identifier="begin", strategy=UnitesStrategyEnum.ALL_SUCCESS),
    ),
]

ARCHIVE = [
    node("begin", Begin, inputs={"mailbox": "archive", "letters": "10"}, next_nodes=["fetch"]),
    node(
        "fetch",
        FetchMailbox,
        inputs={"mailbox": "${{begin.outputs.mailbox}}", "letters": "${{begin.outputs.letters}}"},
        next_nodes=["embed"],
    ),
    node("embed", Embed, inputs={"letter": "${{fetch.outputs.letter}}"}, next_nodes=["report"]),
    node(
        "report",
        SendReport,
        inputs={"mailbox": "${{begin.outputs.mailbox}}"},
        unites=UnitesModel(identifier="begin", strategy=UnitesStrategyEnum.ALL_DONE),
    ),
]


REMINDERS = [
    node("begin", Begin, inputs={"mailbox": "reminders", "letters": "1"}, next_nodes=["remind"]),
    node("remind", "SendReminder", inputs={"to": "${{begin.outputs.address}}"}),
]


def put_graphs(manager: SyncStateManager) -> None:
    manager.upsert_graph(
        "invoices",
        INVOICES,
        secrets={"vat_service_token": "a-token"},
        retry_policy=ONE_RETRY,
        store_config=StoreConfigModel(required_keys=["tenant"], default_values={"ledger": "main"}),
    )
    manager.upsert_graph(
        "embed-archive", ARCHIVE, secrets={}, retry_policy=NO_RETRIES, triggers=[CronTrigger(expression="30 4 * * 1")]
    )
    # One that nobody can run yet.
    with contextlib.suppress(GraphValidationError):
        manager.upsert_graph("reminders", REMINDERS, secrets={})


def trigger_invoices(manager: SyncStateManager, letters: int, *, mailbox: str = "invoices") -> str:
    inputs = {"mailbox": mailbox, "letters": str(letters)}
    return str(manager.trigger("invoices", inputs=inputs, store={"tenant": "acme"})["run_id"])


def trigger_archive(manager: SyncStateManager, letters: int) -> str:
    inputs = {"mailbox": "archive", "letters": str(letters)}
    return str(manager.trigger("embed-archive", inputs=inputs)["run_id"])


@contextmanager
def running_nodes(uri: str, key: str, *, workers: int = 24) -> Generator[SyncStateManager, None, None]:
    """Execute the nodes in a thread of their own, once they are registered and the graphs are put."""
    runtime = Runtime(
        namespace=NAMESPACE,
        name="billing-worker",
        nodes=NODES,
        state_manager_uri=uri,
        key=key,
        workers=workers,
        poll_interval=0.2,
        grace_period=5,
    )
    thread = threading.Thread(target=runtime.start, name="dashboard-runtime")
    thread.start()
    try:
        with SyncStateManager(NAMESPACE, uri, key) as manager:
            eventually_sync(lambda: len(manager.list_nodes()) == len(NODES))
            put_graphs(manager)
            yield manager
    finally:
        runtime.stop()
        thread.join()
