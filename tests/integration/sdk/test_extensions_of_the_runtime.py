"""Each extension that a runtime lives on: used where the server has it, done without where it has not."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from pydantic import BaseModel

from exospherehost import (
    APIConnectionError,
    BaseNode,
    GraphNodeModel,
    RetryPolicyModel,
    RetryStrategyEnum,
    Runtime,
    StateManager,
    StoreConfigModel,
    TriggerOutcomeUnknownError,
    UnitesModel,
    UnitesStrategyEnum,
    UnprocessableEntityError,
)
from exospherehost._transport.runtime_session import RuntimeSession
from exospherehost._transport.session import Session
from exospherehost.server import ServerSettings, ServerThread
from exospherehost_client.api.runs import list_runs
from exospherehost_client.types import Request
from tests._support.databases import NewDatabase
from tests._support.eventually import eventually
from tests._support.graph_runs import ended, outputs, statuses
from tests._support.runtimes import KEY, running

SIX = ("wait", "lease", "context", "batch-report", "claim-token", "idempotency")
WITHOUT: dict[str, frozenset[str]] = {
    "all six": frozenset(),
    **{f"without {name}": frozenset({name}) for name in SIX},
    "none of the six": frozenset(SIX),
}
FAST = RetryPolicyModel(max_retries=2, strategy=RetryStrategyEnum.FIXED, backoff_factor=1)
ServerWithout = Callable[[frozenset[str]], ServerThread]


@pytest.fixture(scope="module")
def server_without(tmp_path_factory: pytest.TempPathFactory, new_database: NewDatabase) -> Iterator[ServerWithout]:
    """Makes servers without some extensions, one of each kind."""
    servers: dict[frozenset[str], ServerThread] = {}
    with ExitStack() as stack:

        def make(without: frozenset[str]) -> ServerThread:
            if without not in servers:
                database = new_database(tmp_path_factory.mktemp("server"))
                settings = ServerSettings(api_key=KEY, **database.settings, port=0, without=without)
                servers[without] = stack.enter_context(ServerThread(settings))
            return servers[without]

        yield make


@pytest.fixture(params=WITHOUT.values(), ids=WITHOUT)
def without(request: pytest.FixtureRequest) -> frozenset[str]:
    """What the test's server lacks of the five."""
    lacking: frozenset[str] = request.param
    return lacking


@pytest.fixture
def server(server_without: ServerWithout, without: frozenset[str]) -> ServerThread:
    return server_without(without)


@pytest.fixture
def runtime_of(server: ServerThread, namespace: str) -> Callable[..., Runtime]:
    def make(*nodes: type[BaseNode], **options: Any) -> Runtime:
        arguments: dict[str, Any] = {"poll_interval": 0.05, "grace_period": 5, **options}
        return Runtime(namespace, "runtime", list(nodes), server.url, KEY, **arguments)

    return make


class Wire:
    """The requests that the SDK sends, of runtimes and state managers alike."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.requests: list[Request] = []
        self.lose_response_to = ""
        carry = Session._carry
        wire = self

        async def recording(session: Session, request: Request, *arguments: Any) -> Any:
            wire.requests.append(request)
            answer = await carry(session, request, *arguments)
            if wire.lose_response_to and request.path.endswith(wire.lose_response_to):
                wire.lose_response_to = ""
                raise APIConnectionError("the connection was lost", sent=True)
            return answer

        monkeypatch.setattr(Session, "_carry", recording)

    def to(self, end: str) -> list[Request]:
        return [request for request in self.requests if request.path.endswith(end)]

    def claims(self) -> list[dict[str, Any]]:
        return [json.loads(request.content or b"") for request in self.to("/states/enqueue")]

    def preferences(self) -> set[str | None]:
        return {_header(request, "prefer") for request in self.to("/states/enqueue")}


def _header(request: Request, name: str) -> str | None:
    return {key.lower(): value for key, value in request.headers.items()}.get(name)


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    return Wire(monkeypatch)


class Split(BaseNode):
    class Inputs(BaseModel):
        words: str

    class Outputs(BaseModel):
        word: str

    async def execute(self) -> list[Outputs]:
        return [self.Outputs(word=word) for word in self.inputs.words.split()]


class Seal(BaseNode):
    """Fails once for each word, and notes what it is told about its state."""

    contexts: list[tuple[str | None, str | None, int | None]]
    failed: set[str]

    class Inputs(BaseModel):
        word: str

    class Outputs(BaseModel):
        sealed: str

    class Secrets(BaseModel):
        salt: str

    async def execute(self) -> Outputs:
        Seal.contexts.append((self.context.graph_name, self.context.run_id, self.context.attempt))
        if self.inputs.word not in Seal.failed:
            Seal.failed.add(self.inputs.word)
            raise LookupError("not yet")
        return self.Outputs(sealed=f"{self.inputs.word}-{len(self.secrets.salt)}")


class Join(BaseNode):
    async def execute(self) -> None:
        """Have no output."""


@pytest.fixture(autouse=True)
def short_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop waits for a claim that the service holds."""
    from exospherehost._runtime import poller

    monkeypatch.setattr(poller, "LONGEST_HOLD", 1)


@pytest.fixture(autouse=True)
def fresh_seal() -> None:
    Seal.contexts = []
    Seal.failed = set()


async def put_graph(manager: StateManager, namespace: str) -> None:
    def node(node_name: str, identifier: str, **fields: Any) -> GraphNodeModel:
        return GraphNodeModel(node_name=node_name, namespace=namespace, identifier=identifier, **fields)

    nodes = [
        node("Join", "begin", next_nodes=["split"]),
        node("Split", "split", inputs={"words": "${{store.words}}"}, next_nodes=["seal"]),
        node("Seal", "seal", inputs={"word": "${{split.outputs.word}}"}, next_nodes=["join"]),
        node("Join", "join", unites=UnitesModel(identifier="begin", strategy=UnitesStrategyEnum.ALL_SUCCESS)),
    ]
    store = StoreConfigModel(required_keys=["words"])
    await manager.upsert_graph("g", nodes, {"salt": "grain of salt"}, retry_policy=FAST, store_config=store)


async def test_same_graph_ends_the_same(
    runtime_of: Callable[..., Runtime], manager: StateManager, namespace: str, without: frozenset[str], wire: Wire
) -> None:
    runtime = runtime_of(Split, Seal, Join, lease=5)
    async with running(runtime):
        await runtime.ready()
        await put_graph(manager, namespace)
        run = await manager.trigger("g", inputs={}, store={"words": "a b c d e f"})
        states = await ended(manager, namespace, run["run_id"])
        await eventually(lambda: not runtime.stats().undelivered)

    assert statuses(states) == Counter(
        {
            ("begin", "SUCCESS"): 1,
            ("split", "SUCCESS"): 6,
            ("seal", "RETRY_CREATED"): 6,
            ("seal", "SUCCESS"): 6,
            ("join", "SUCCESS"): 1,
        }
    )
    assert sorted(str(output["sealed"]) for output in outputs(states, "seal") if output) == [
        f"{word}-13" for word in "abcdef"
    ]
    stats = runtime.stats()
    assert (stats.claimed, stats.succeeded, stats.errored, stats.refused) == (15, 9, 6, 0)

    assert wire.preferences() == ({None} if "wait" in without else {"wait=1"})
    assert {claim.get("lease_ms") for claim in wire.claims()} == {None if "lease" in without else 5_000}
    reads = len(wire.to("/secrets"))
    if "context" in without:
        assert set(Seal.contexts) == {(None, None, None)}
        assert reads == 12
    else:
        assert Counter(Seal.contexts) == {("g", run["run_id"], 1): 6, ("g", run["run_id"], 2): 6}
        # The second attempts read anew; the first ones know that they are of one run.
        assert 6 < reads < 12
    together, alone = wire.to("/states/report"), [*wire.to("/executed"), *wire.to("/errored")]
    if "batch-report" in without:
        assert (len(together), len(alone)) == (0, 15)
    else:
        assert together
        assert not alone
    (trigger,) = wire.to("/trigger")
    assert (_header(trigger, "idempotency-key") is None) == ("idempotency" in without)


@pytest.mark.parametrize("without", [WITHOUT["all six"]], ids=["all six"], indirect=True)
async def test_held_claim_brings_a_state_that_becomes_due(
    runtime_of: Callable[..., Runtime], manager: StateManager, namespace: str, wire: Wire
) -> None:
    runtime = runtime_of(Join, poll_interval=600)
    async with running(runtime):
        await runtime.ready()
        await manager.upsert_graph("g", [GraphNodeModel(node_name="Join", namespace=namespace, identifier="a")], {})
        for _ in range(3):
            claims = len(wire.to("/states/enqueue"))
            run = await manager.trigger("g", inputs={})
            assert statuses(await ended(manager, namespace, run["run_id"])) == {("a", "SUCCESS"): 1}
            # The claim that was being held brought it.
            assert len(wire.to("/states/enqueue")) <= claims + 3

    assert wire.preferences() == {"wait=1"}


class Stays(BaseNode):
    """Runs until the test lets it go on."""

    go_on: asyncio.Event
    started: int

    async def execute(self) -> None:
        Stays.started += 1
        await Stays.go_on.wait()


@pytest.mark.parametrize(
    "without", [WITHOUT["all six"], WITHOUT["without lease"]], ids=["with lease", "without lease"], indirect=True
)
async def test_state_that_outlasts_its_lease_is_executed_once(
    runtime_of: Callable[..., Runtime], manager: StateManager, namespace: str, without: frozenset[str], wire: Wire
) -> None:
    Stays.go_on, Stays.started = asyncio.Event(), 0
    loop = asyncio.get_running_loop()
    runtime = runtime_of(Stays, lease=1)
    async with running(runtime):
        await runtime.ready()
        await manager.upsert_graph("g", [GraphNodeModel(node_name="Stays", namespace=namespace, identifier="a")], {})
        run = await manager.trigger("g", inputs={})
        await eventually(lambda: Stays.started)
        began = loop.time()
        await eventually(lambda: loop.time() - began > 1.4)
        Stays.go_on.set()
        states = await ended(manager, namespace, run["run_id"])

    assert statuses(states) == {("a", "SUCCESS"): 1}
    assert Stays.started == 1
    assert bool(wire.to("/states/renew")) == ("lease" not in without)


@pytest.mark.parametrize("without", [WITHOUT["all six"]], ids=["all six"], indirect=True)
async def test_state_of_a_runtime_that_renews_no_more_is_another_attempt(
    runtime_of: Callable[..., Runtime], manager: StateManager, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Stays.go_on, Stays.started = asyncio.Event(), 0
    renew = RuntimeSession.renew
    silent = True

    async def renewing(
        session: RuntimeSession, state_ids: list[str], lease_ms: int, claim_tokens: dict[str, str]
    ) -> set[str]:
        if silent:
            raise APIConnectionError("nobody there", sent=False)
        return await renew(session, state_ids, lease_ms, claim_tokens)

    monkeypatch.setattr(RuntimeSession, "renew", renewing)
    runtime = runtime_of(Stays, lease=1)
    async with running(runtime):
        await runtime.ready()
        await manager.upsert_graph(
            "g", [GraphNodeModel(node_name="Stays", namespace=namespace, identifier="a")], {}, retry_policy=FAST
        )
        run = await manager.trigger("g", inputs={})
        await eventually(lambda: Stays.started == 2)
        silent = False
        await eventually(lambda: runtime.stats().lost_leases == 1)
        Stays.go_on.set()
        states = await ended(manager, namespace, run["run_id"])

    assert statuses(states) == {("a", "RETRY_CREATED"): 1, ("a", "SUCCESS"): 1}
    assert runtime.stats().refused == 0


async def _runs(manager: StateManager, namespace: str) -> list[str]:
    async with manager.raw_client as client:
        return [run.run_id for run in (await list_runs.asyncio(namespace, 1, 100, client=client)).runs]


@pytest.mark.parametrize(
    "without",
    [WITHOUT["all six"], WITHOUT["without idempotency"]],
    ids=["with idempotency", "without idempotency"],
    indirect=True,
)
async def test_trigger_whose_response_is_lost_starts_one_run(
    runtime_of: Callable[..., Runtime], manager: StateManager, namespace: str, without: frozenset[str], wire: Wire
) -> None:
    runtime = runtime_of(Join)
    async with running(runtime):
        await runtime.ready()
        await manager.upsert_graph("g", [GraphNodeModel(node_name="Join", namespace=namespace, identifier="a")], {})
        wire.lose_response_to = "/trigger"
        if without:
            with pytest.raises(TriggerOutcomeUnknownError):
                await manager.trigger("g", inputs={})
            assert len(wire.to("/trigger")) == 1
        else:
            run = await manager.trigger("g", inputs={})
            assert [run["run_id"]] == await _runs(manager, namespace)
            assert len({_header(request, "idempotency-key") for request in wire.to("/trigger")}) == 1
            assert len(wire.to("/trigger")) == 2

    assert len(await _runs(manager, namespace)) == 1


@pytest.mark.parametrize(
    "without",
    [WITHOUT["all six"], WITHOUT["without idempotency"]],
    ids=["with idempotency", "without idempotency"],
    indirect=True,
)
async def test_same_key_is_the_same_run_only_where_keys_are_honoured(
    runtime_of: Callable[..., Runtime], manager: StateManager, namespace: str, without: frozenset[str]
) -> None:
    runtime = runtime_of(Split)
    async with running(runtime):
        await runtime.ready()
        split = GraphNodeModel(node_name="Split", namespace=namespace, identifier="a", inputs={"words": "x"})
        await manager.upsert_graph("g", [split], {})
        runs = [
            (await manager.trigger("g", inputs={"words": "a"}, idempotency_key="order-17"))["run_id"] for _ in range(3)
        ]
        if without:
            await manager.trigger("g", inputs={"words": "b"}, idempotency_key="order-17")
        else:
            with pytest.raises(UnprocessableEntityError):
                await manager.trigger("g", inputs={"words": "b"}, idempotency_key="order-17")

    assert len(set(runs)) == (3 if without else 1)
    assert len(await _runs(manager, namespace)) == (4 if without else 1)
