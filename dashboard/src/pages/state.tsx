// One state: what went in, what came out, what went wrong, and what it belongs to.
import { useMemo, useState } from "preact/hooks";
import { extensions } from "../api/features";
import { getRunGraph, getState, retryState } from "../api/operations";
import type { RunGraph, StateDetail, StateNode } from "../api/types";
import { recallGraph } from "../lib/run";
import { useResource } from "../lib/resource";
import { count, counted, duration, instant, now } from "../lib/time";
import { withoutAnsi } from "../model/run";
import { FAILED, PENDING } from "../model/status";
import { go, to } from "../router";
import { CopyButton, Failure, Loading, Name, Time } from "../ui/basics";
import { Confirm, type Plan } from "../ui/confirm";
import { Icon } from "../ui/icons";
import { JsonCard } from "../ui/json";
import { StateBadge } from "../ui/status";

const CHILDREN_SHOWN = 20;
const ERROR_SHOWN = 20_000;
const PENDING_MS = 1_500;
const ENDED_MS = 10_000;

interface Found {
  state: StateDetail;
  graph: RunGraph;
}

export function StatePage({ ns, run, id }: { ns: string; run: string; id: string }) {
  const read = async (signal: AbortSignal): Promise<Found> => {
    const known = recallGraph(ns, run);
    const graph = known?.nodes.some((node) => node.id === id) ? known : await getRunGraph(ns, run, signal);
    const state = await getState(ns, graph.graph_name, run, id, signal);
    // Its children may have come since the graph was read.
    const isStale = graph === known && graph.nodes.find((node) => node.id === id)?.status !== state.status;
    return { state, graph: isStale ? await getRunGraph(ns, run, signal) : graph };
  };
  const { data, error, reload } = useResource(extensions.value ? `${ns}/${run}/${id}` : null, read, ({ state }) => (PENDING.has(String(state.status)) ? PENDING_MS : ENDED_MS));
  const [plan, setPlan] = useState<Plan | null>(null);
  const family = useMemo(() => data && familyOf(data.graph, data.state), [data]);
  if (error && !data) return <Failure error={error} what="state" />;
  if (!data || !family) return <Loading what="the state" />;
  const { state } = data;
  const status = String(state.status);
  const isFailed = FAILED.has(status);
  const work = instant(state.started_at) === null ? null : (instant(state.ended_at) ?? now.value) - instant(state.started_at)!;

  const planRetry = (): void => {
    let made = "";
    setPlan({
      title: isFailed ? "Retry this state" : "Run this state again",
      text: isFailed
        ? "It is tried again as a new state with the same inputs and all of its retries."
        : `It is ${status}. It is run again as a new state with the same inputs${status === "SUCCESS" ? ", and what follows runs again, too" : ""}.`,
      verb: isFailed ? "Retry" : "Run again",
      steps: [async () => (made = (await retryState(ns, id)).id)],
      after: () => (made ? go(to.state(ns, run, made)) : reload()),
    });
  };

  return (
    <div class="page">
      <header class="page-head">
        <div class="title">
          <p class="crumbs">
            <a href={to.runs(ns)}>Runs</a> <span aria-hidden="true">/</span>{" "}
            <a href={to.run(ns, run)}>
              <Name>{state.graph_name}</Name> <span class="mono">{run.slice(0, 8)}</span>
            </a>{" "}
            <span aria-hidden="true">/</span> <span class="mono">…{id.slice(-8)}</span> <CopyButton text={id} label="Copy the state's id" />
          </p>
          <h1>
            <Name>{state.identifier}</Name> <StateBadge status={status} />
          </h1>
        </div>
        <span class="tools">
          {status !== "EXECUTED" && (
            <button type="button" class={isFailed ? "primary" : ""} onClick={planRetry}>
              <Icon name="again" /> {isFailed ? "Retry" : "Run again"}
            </button>
          )}
        </span>
      </header>
      <section class="facts" aria-label="About this state">
        <dl>
          <div>
            <dt>Node</dt>
            <dd>
              <a href={to.nodes(ns, { node: state.node_name })}>
                <Name>{state.node_name}</Name>
              </a>
            </dd>
          </div>
          <div>
            <dt>Created</dt>
            <dd>
              <Time at={state.created_at} />
            </dd>
          </div>
          <div>
            <dt>Last change</dt>
            <dd>
              <Time at={state.updated_at} />
            </dd>
          </div>
          {work !== null && (
            <div>
              <dt>Worked</dt>
              <dd>{duration(work)}</dd>
            </div>
          )}
          {state.attempt != null && (
            <div>
              <dt>Attempt</dt>
              <dd>{state.attempt}</dd>
            </div>
          )}
          {state.runtime_name && (
            <div>
              <dt>Runtime</dt>
              <dd>
                <Name>{state.runtime_name}</Name>
              </dd>
            </div>
          )}
        </dl>
      </section>
      {state.error !== null && state.error !== undefined && <ErrorCard error={state.error} isPast={!isFailed} />}
      <div class="columns">
        <JsonCard title="Inputs" value={state.inputs} />
        <JsonCard title="Outputs" value={state.outputs} />
      </div>
      <div class="columns">
        <section class="card" aria-label="Came from">
          <header>
            <h2>Came from</h2>
          </header>
          {family.parents.length ? <StateLinks ns={ns} run={run} states={family.parents} /> : <p class="muted none">Nothing: the run began here</p>}
        </section>
        <section class="card" aria-label="Led to">
          <header>
            <h2>Led to</h2>
            {family.children.length > 0 && <span class="muted">{counted(family.children.length, "state")}</span>}
          </header>
          {family.children.length ? <StateLinks ns={ns} run={run} states={family.children} /> : <p class="muted none">Nothing{PENDING.has(status) ? " yet" : ""}</p>}
        </section>
      </div>
      {plan && <Confirm plan={plan} onClose={() => setPlan(null)} />}
    </div>
  );
}

function ErrorCard({ error, isPast }: { error: string; isPast: boolean }) {
  const [isWhole, setWhole] = useState(error.length <= ERROR_SHOWN);
  const text = withoutAnsi(error);
  return (
    <section class={`card error-card${isPast ? "" : " tone-bad"}`} aria-label="Error">
      <header>
        <h2>
          <Icon name="warn" /> {isPast ? "Error of an attempt" : "Error"}
        </h2>
        <span class="tools">
          <CopyButton text={error} label="Copy the error" />
        </span>
      </header>
      <pre tabIndex={0}>{text ? (isWhole ? text : `${text.slice(0, ERROR_SHOWN / 2)}\n…\n${text.slice(-ERROR_SHOWN / 2)}`) : "(no message)"}</pre>
      {!isWhole && (
        <button type="button" class="link" onClick={() => setWhole(true)}>
          Show all {count(error.length)} characters
        </button>
      )}
    </section>
  );
}

function familyOf(graph: RunGraph, state: StateDetail): { parents: StateNode[]; children: StateNode[] } {
  const byId = new Map(graph.nodes.map((node) => [node.id, node]));
  const parents = Object.entries(state.parents).map(
    ([identifier, id]): StateNode => byId.get(id) ?? { id, identifier, node_name: "", status: "", error: null },
  );
  const children = graph.edges.flatMap(({ source, target }) => (source === state.id ? [byId.get(target)] : [])).filter((node) => node !== undefined);
  return { parents, children };
}

function StateLinks({ ns, run, states }: { ns: string; run: string; states: readonly StateNode[] }) {
  const [shown, setShown] = useState(CHILDREN_SHOWN);
  return (
    <ul class="links">
      {states.slice(0, shown).map((state) => (
        <li key={state.id}>
          <a href={to.state(ns, run, state.id)}>
            <Name>{state.identifier}</Name> <span class="mono muted">…{state.id.slice(-8)}</span>
          </a>
          {state.status && <StateBadge status={String(state.status)} />}
        </li>
      ))}
      {states.length > shown && (
        <li>
          <button type="button" class="link" onClick={() => setShown(shown + CHILDREN_SHOWN * 5)}>
            {count(states.length - shown)} more
          </button>
        </li>
      )}
    </ul>
  );
}
