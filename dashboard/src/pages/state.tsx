// One state: what went in, what came out, what went wrong, and what it belongs to.
import { useMemo, useRef, useState } from "preact/hooks";
import { getState, retryState } from "../api/operations";
import type { RunGraph, StateDetail, StateNode } from "../api/types";
import { useResource } from "../lib/resource";
import { useRun } from "../lib/run";
import { count, counted, duration, now } from "../lib/time";
import { mainLine, withoutAnsi } from "../model/run";
import { FAILED, PENDING } from "../model/status";
import { attemptsOf } from "../model/timeline";
import { timesOf, workOf, type EventTimes } from "../model/times";
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

export function StatePage({ ns, run, id }: { ns: string; run: string; id: string }) {
  const live = useRun(ns, run, false);
  const { graph } = live;
  const node = graph?.nodes.find((each) => each.id === id);
  // Read anew as soon as the run's graph says that it has changed.
  const { data, error, reload } = useResource(
    graph ? `${ns}/${run}/${id}/${node?.status ?? ""}` : null,
    (signal) => getState(ns, graph!.graph_name, run, id, signal),
    (found) => (PENDING.has(String(found.status)) ? PENDING_MS : ENDED_MS),
  );
  const before = useRef<StateDetail | null>(null);
  if (data) before.current = data;
  const [plan, setPlan] = useState<Plan | null>(null);
  const state = data ?? before.current;
  const family = useMemo(() => graph && state && familyOf(graph, state), [graph, state]);
  const attempts = useMemo(() => (graph ? attemptsOf(id, graph.nodes, graph.edges, live.times?.of ?? new Map()) : []), [graph, live.timesVersion]);
  if (live.error && !graph) return <Failure error={live.error} what="state" />;
  if (error && !state) return <Failure error={error} what="state" />;
  if (!state || !graph || !family) return <Loading what="the state" />;
  const status = String(state.status);
  const isFailed = FAILED.has(status);
  const times = node ? timesOf(node, live.times) : null;
  const work = workOf(times, now.value);
  const waited = times?.created == null ? null : (times.started ?? times.ended ?? now.value) - times.created;

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
          {waited !== null && (
            <div>
              <dt>Waited</dt>
              <dd>{duration(waited)}</dd>
            </div>
          )}
          {work !== null && (
            <div>
              <dt>Worked</dt>
              <dd>{duration(work)}</dd>
            </div>
          )}
          {(state.attempt != null || attempts.length > 1) && (
            <div>
              <dt>Attempt</dt>
              <dd>{state.attempt ?? `${attempts.indexOf(id) + 1} of ${attempts.length}`}</dd>
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
      {attempts.length > 1 && <Attempts ns={ns} run={run} current={id} states={attempts.map((each) => graph.nodes.find((other) => other.id === each)!)} times={live.times} />}
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

/** The attempts at one piece of work: the same inputs, and what became of each. */
function Attempts({ ns, run, current, states, times }: { ns: string; run: string; current: string; states: StateNode[]; times: EventTimes | null }) {
  return (
    <section class="card" aria-label="Attempts">
      <header>
        <h2>Attempts</h2>
        <span class="muted">with the same inputs</span>
      </header>
      <ol class="links attempts">
        {states.map((state, i) => {
          const work = workOf(timesOf(state, times), now.value);
          const error = mainLine(state.error ?? "");
          return (
            <li key={state.id}>
              <span class="muted">{i + 1}</span>
              <StateBadge status={String(state.status)} />
              {state.id === current ? <strong class="mono">…{state.id.slice(-8)}</strong> : <a class="mono" href={to.state(ns, run, state.id)}>…{state.id.slice(-8)}</a>}
              {work !== null && <span class="muted">{duration(work)}</span>}
              <code class="clip bad-text" title={error}>
                <bdi>{error}</bdi>
              </code>
            </li>
          );
        })}
      </ol>
    </section>
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
