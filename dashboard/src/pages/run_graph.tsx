// A run as its graph: one box for each identifier, with its states as counts, so that 10,000 are as legible as ten.
import { useMemo } from "preact/hooks";
import { ApiError } from "../api/errors";
import { has } from "../api/features";
import { getGraph, getGraphVersion } from "../api/operations";
import type { Graph, StateNode } from "../api/types";
import type { LiveRun } from "../lib/run";
import { useResource } from "../lib/resource";
import { counted } from "../lib/time";
import { countFlow } from "../model/run";
import { linksOf, type Link } from "../model/layout";
import { FAILED, PENDING, sum } from "../model/status";
import { place, setQuery, to } from "../router";
import { Missing, Name } from "../ui/basics";
import { Canvas } from "../ui/canvas";
import { Icon } from "../ui/icons";
import { StateTable } from "../ui/state_table";
import { Bar, Legend } from "../ui/status";

const SIZE = { width: 178, height: 98 };

interface Props {
  ns: string;
  run: string;
  live: LiveRun;
  graphName: string;
  version: string | null;
}

export function RunGraphView({ ns, run, live, graphName, version }: Props) {
  const selected = place.value.query.get("box");
  const read = async (signal: AbortSignal): Promise<Graph | "gone"> => {
    try {
      return version && has("get-run") ? await getGraphVersion(ns, graphName, version, signal) : await getGraph(ns, graphName, signal);
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return "gone";
      throw error;
    }
  };
  const { data } = useResource(graphName ? JSON.stringify([ns, graphName, version]) : null, read);
  const template = data === "gone" ? null : data;
  const graph = live.graph!;

  const { ids, links, joins, strangers } = useMemo(() => {
    const nodes = template?.nodes ?? [];
    const inTemplate = new Set(nodes.map((node) => node.identifier));
    const others = [...live.groups.keys()].filter((identifier) => !inTemplate.has(identifier));
    const known = linksOf(nodes);
    const drawn = new Set(known.map(({ from, to: target }) => JSON.stringify([from, target])));
    const seen: Link[] = [];
    for (const [from, targets] of countFlow(graph)) {
      for (const target of targets.keys()) if (from !== target && !drawn.has(JSON.stringify([from, target]))) seen.push({ from, to: target, kind: "seen" });
    }
    return {
      ids: [...nodes.map((node) => node.identifier), ...others],
      links: [...known, ...seen],
      joins: new Map(nodes.flatMap((node) => (node.unites ? [[node.identifier, node.unites] as const] : []))),
      strangers: new Set(template ? others : []),
    };
  }, [template, [...live.groups.keys()].join("\n")]);
  const flow = useMemo(() => countFlow(graph), [graph]);
  const names = new Map(template?.nodes.map((node) => [node.identifier, node.node_name]));
  const group = selected === null ? undefined : live.groups.get(selected);

  // Until the template is there, edges would be drawn that are none of the graph's.
  if (graphName && data === null) return <div class="canvas" />;
  return (
    <div class={`split${selected === null ? "" : " open"}`}>
      <Canvas
        ids={ids}
        links={links}
        size={SIZE}
        label="The run's graph"
        selected={selected}
        onSelect={(id) => setQuery({ box: id ?? "" })}
        flow={(link) => (link.kind === "unites" ? undefined : (flow.get(link.from)?.get(link.to) ?? (isJoined(link, joins, live) ? undefined : 0)))}
        boxClass={(id) => {
          const counts = live.groups.get(id)?.counts ?? {};
          return `${sum(counts, FAILED) ? "bad" : sum(counts, PENDING) ? "busy" : sum(counts) ? "good" : "none"}`;
        }}
      >
        {(id) => {
          const found = live.groups.get(id);
          const join = joins.get(id);
          return (
            <>
              <span class="box-head">
                <strong class="clip">
                  <bdi title={id}>{id}</bdi>
                </strong>
                {join && (
                  <span class="tag" title={`Joins everything below ${join.identifier} (${join.strategy})`}>
                    <Icon name="join" /> join
                  </span>
                )}
              </span>
              <span class="box-node clip">{found?.nodeName ?? names.get(id)}</span>
              <Bar counts={found?.counts ?? {}} />
              {found ? <Legend counts={found.counts} isShort /> : <span class="muted">no states yet</span>}
              {strangers.has(id) && <span class="offscreen">not in the graph's present version</span>}
            </>
          );
        }}
      </Canvas>
      {selected !== null && (
        <aside class="panel" aria-label={`States of ${selected}`}>
          <header>
            <h2 class="clip">
              <Name>{selected}</Name>
            </h2>
            <button type="button" class="ghost small" aria-label="Close" onClick={() => setQuery({ box: "" })}>
              <Icon name="close" />
            </button>
          </header>
          {group ? (
            <>
              <Legend counts={group.counts} />
              <p>
                <a href={to.run(ns, run, { view: "states", identifier: selected })}>{counted(group.total, "state")} in the table</a>
              </p>
              <StateTable ns={ns} run={run} states={failedFirst(group.states)} times={live.times} isOfOne label={`States of ${selected}`} />
            </>
          ) : (
            <p class="muted">None of this run's states has come here yet.</p>
          )}
        </aside>
      )}
      {data === "gone" && <p class="missing">The graph was deleted: these edges are those that the run's states took.</p>}
      {strangers.size > 0 && !has("get-run") && (
        <Missing extension="get-run">This run began with another version of its graph, which cannot be shown; what it did beyond the present one is dotted.</Missing>
      )}
    </div>
  );
}

const RANKS = [FAILED, PENDING, new Set(["RETRY_CREATED"])];

/** What one looks for first: what failed, then what goes on. */
function failedFirst(states: readonly StateNode[]): StateNode[] {
  const rank = (state: StateNode): number => (RANKS.findIndex((set) => set.has(String(state.status))) + RANKS.length + 1) % (RANKS.length + 1);
  return states.map((state) => ({ state, rank: rank(state) })).sort((a, b) => a.rank - b.rank).map(({ state }) => state);
}

/** Whether an edge leads to a join that has been made: its state follows from the united one, not from the branches. */
function isJoined(link: Link, joins: ReadonlyMap<string, unknown>, live: LiveRun): boolean {
  return joins.has(link.to) && live.groups.has(link.to) && live.groups.has(link.from);
}
