// The list of graphs.
import { useState } from "preact/hooks";
import { listGraphs } from "../api/operations";
import type { GraphItem } from "../api/types";
import { useKeys } from "../lib/keys";
import { useResource } from "../lib/resource";
import { counted } from "../lib/time";
import { go, place, setQuery, to } from "../router";
import { Command, Empty, Failure, Loading, Name, Search, Time } from "../ui/basics";
import { Icon } from "../ui/icons";

export function Validation({ status }: { status: string }) {
  const tone = status === "VALID" ? "good" : status === "INVALID" ? "bad" : "wait";
  return (
    <span class={`badge tone-${tone}`} title={status}>
      <Icon name={tone} />
      {status === "VALID" ? "Valid" : status === "INVALID" ? "Invalid" : "Being checked"}
    </span>
  );
}

export const schedulesOf = (graph: Pick<GraphItem, "triggers">): string[] =>
  graph.triggers.flatMap(({ value }) => (typeof value["expression"] === "string" ? [value["expression"]] : []));

export function GraphsPage({ ns }: { ns: string }) {
  const text = (place.value.query.get("q") ?? "").toLowerCase();
  const { data, error, isLoading } = useResource(ns, (signal) => listGraphs(ns, signal), 5_000);
  const [current, setCurrent] = useState(-1);
  const shown = (data ?? []).filter((graph) => graph.name.toLowerCase().includes(text)).sort((a, b) => a.name.localeCompare(b.name));
  useKeys({
    j: () => setCurrent(Math.min(current + 1, shown.length - 1)),
    k: () => setCurrent(Math.max(current - 1, 0)),
    Enter: () => shown[current] && go(to.graph(ns, shown[current].name)),
  });
  return (
    <div class="page">
      <header class="page-head">
        <h1>Graphs</h1>
        {data && (
          <p class="muted" role="status">
            {counted(shown.length, "graph")}
          </p>
        )}
      </header>
      <div class="filters">
        <Search label="Search by name" value={place.value.query.get("q") ?? ""} onInput={(q) => setQuery({ q })} />
      </div>
      {error && !data ? (
        <Failure error={error} what="list of graphs" />
      ) : isLoading ? (
        <Loading what="graphs" />
      ) : shown.length ? (
        <div class="table-frame">
          <table>
            <thead>
              <tr>
                <th>Graph</th>
                <th>Check</th>
                <th class="num">Nodes</th>
                <th>Schedule</th>
                <th>Changed</th>
              </tr>
            </thead>
            <tbody>
              {shown.map((graph, i) => (
                <tr
                  key={graph.name}
                  class={i === current ? "current" : ""}
                  onClick={(event) => {
                    if (!(event.target as Element).closest("a") && !getSelection()?.toString()) go(to.graph(ns, graph.name));
                  }}
                >
                  <td>
                    <a href={to.graph(ns, graph.name)}>
                      <Name>{graph.name}</Name>
                    </a>
                  </td>
                  <td>
                    <Validation status={String(graph.validation_status)} />
                  </td>
                  <td class="num">{graph.nodes.length}</td>
                  <td>{schedulesOf(graph).length ? schedulesOf(graph).map((expression) => <code key={expression}>{expression}</code>) : <span class="muted">–</span>}</td>
                  <td>
                    <Time at={graph.updated_at} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      ) : text ? (
        <Empty icon="search" title="No graph has this name" />
      ) : (
        <Empty icon="graphs" title="No graphs in this namespace">
          <p>Store one with <code>StateManager.upsert_graph</code>, or run a script that does so:</p>
          <Command>exospherehost dev --keep hello.py</Command>
        </Empty>
      )}
    </div>
  );
}
