// The nodes that runtimes have registered, and those that graphs use and nobody has.
import { useMemo } from "preact/hooks";
import { has } from "../api/features";
import { listGraphs, listNodes } from "../api/operations";
import type { Node } from "../api/types";
import { useResource } from "../lib/resource";
import { counted } from "../lib/time";
import { fieldsOf, missingNodes } from "../model/graph";
import { place, setQuery, to } from "../router";
import { Command, Empty, Failure, Loading, Missing, Name, Search, Time } from "../ui/basics";
import { Icon } from "../ui/icons";
import { JsonCard } from "../ui/json";

export function NodesPage({ ns }: { ns: string }) {
  const { query } = place.value;
  const text = (query.get("q") ?? "").toLowerCase();
  const selected = query.get("node");
  const nodes = useResource(ns, (signal) => listNodes(ns, signal), 10_000);
  const graphs = useResource(ns, (signal) => listGraphs(ns, signal), 10_000);
  const users = useMemo(() => {
    const found = new Map<string, Set<string>>();
    for (const graph of graphs.data ?? []) {
      for (const node of graph.nodes) if (node.namespace === ns) found.set(node.node_name, (found.get(node.node_name) ?? new Set()).add(graph.name));
    }
    return found;
  }, [graphs.data, ns]);
  const unserved = nodes.data && graphs.data ? missingNodes(ns, graphs.data, nodes.data) : [];
  const shown = (nodes.data ?? []).filter((node) => node.name.toLowerCase().includes(text)).sort((a, b) => a.name.localeCompare(b.name));

  return (
    <div class="page">
      <header class="page-head">
        <h1>Nodes</h1>
        {nodes.data && (
          <p class="muted" role="status">
            {counted(shown.length, "node")}
          </p>
        )}
      </header>
      {unserved.length > 0 && (
        <section class="callout tone-wait" aria-label="Nodes that nobody has registered">
          <h2>
            <Icon name="warn" /> Graphs use {counted(unserved.length, "node")} that no runtime has registered
          </h2>
          <p class="chips">
            {unserved.map((name) => (
              <code key={name}>{name}</code>
            ))}
          </p>
          <p>
            Start the runtime that has them: <Command>exospherehost run app.py</Command>
          </p>
        </section>
      )}
      <div class="filters">
        <Search label="Search by name" value={query.get("q") ?? ""} onInput={(q) => setQuery({ q })} />
      </div>
      {nodes.error && !nodes.data ? (
        <Failure error={nodes.error} what="list of nodes" />
      ) : nodes.isLoading ? (
        <Loading what="nodes" />
      ) : shown.length ? (
        <>
          <ul class="node-list">
            {shown.map((node) => (
              <NodeItem key={node.name} ns={ns} node={node} users={[...(users.get(node.name) ?? [])]} isOpen={selected === node.name} />
            ))}
          </ul>
          {!has("runtimes") && <Missing extension="runtimes">Which runtimes serve these nodes now is not shown; each names the one that registered it last.</Missing>}
        </>
      ) : text ? (
        <Empty icon="search" title="No node has this name" />
      ) : (
        <Empty icon="nodes" title="No nodes in this namespace">
          <p>A runtime registers its nodes when it starts:</p>
          <Command>exospherehost run app.py</Command>
        </Empty>
      )}
    </div>
  );
}

function NodeItem({ ns, node, users, isOpen }: { ns: string; node: Node; users: string[]; isOpen: boolean }) {
  return (
    <li class="card">
      <button type="button" class="node-head" aria-expanded={isOpen} onClick={() => setQuery({ node: isOpen ? "" : node.name })}>
        <Icon name={isOpen ? "down" : "chevron"} />
        <strong class="clip">
          <Name>{node.name}</Name>
        </strong>
        <span class="signature clip mono">
          ({fieldsOf(node.inputs_schema).map((field) => field.name).join(", ")}) → ({fieldsOf(node.outputs_schema).map((field) => field.name).join(", ")})
        </span>
        <span class="muted clip">
          <Name>{node.runtime_name}</Name>
        </span>
      </button>
      {isOpen && (
        <div class="node-body">
          <p>
            Registered <Time at={node.created_at} /> by <Name>{node.runtime_name}</Name>
            {node.secrets.length > 0 && (
              <>
                ; needs{" "}
                {node.secrets.map((secret) => (
                  <span key={secret} class="tag">
                    <Icon name="key" /> {secret}
                  </span>
                ))}
              </>
            )}
          </p>
          <p class="chips">
            {users.length ? (
              <>
                Used by{" "}
                {users.map((name) => (
                  <a key={name} href={to.graph(ns, name)}>
                    <Name>{name}</Name>
                  </a>
                ))}
              </>
            ) : (
              <span class="muted">No graph uses it</span>
            )}
          </p>
          <div class="columns">
            <JsonCard title="Inputs schema" value={node.inputs_schema} />
            <JsonCard title="Outputs schema" value={node.outputs_schema} />
          </div>
        </div>
      )}
    </li>
  );
}
