// One graph: its picture, its templates, what is wrong with it, and a form to trigger it.
import { useMemo } from "preact/hooks";
import { extensions, has } from "../api/features";
import { listGraphs, listNodes, listRuns } from "../api/operations";
import type { GraphItem, GraphNode } from "../api/types";
import { useResource } from "../lib/resource";
import { count, counted, duration } from "../lib/time";
import { delaysOf, placeErrors, rootOf } from "../model/graph";
import { linksOf } from "../model/layout";
import { piecesOf } from "../model/placeholders";
import { countsOfRun, statusOfRun } from "../model/status";
import { place, setQuery, to } from "../router";
import { Empty, Failure, Loading, Missing, Name, Time } from "../ui/basics";
import { Canvas } from "../ui/canvas";
import { Icon } from "../ui/icons";
import { Bar, RunBadge } from "../ui/status";
import { schedulesOf, Validation } from "./graphs";
import { TriggerDialog } from "./trigger";

const SIZE = { width: 200, height: 66 };
const RECENT = 5;
const LOOKED_AT = 200;

export function GraphPage({ ns, name }: { ns: string; name: string }) {
  const { query } = place.value;
  const selected = query.get("box");
  const again = query.get("trigger");
  // From the list, which has the true policy and store where a graph alone has their defaults.
  const { data, error } = useResource(extensions.value ? `${ns}/${name}` : null, async (signal) => (await listGraphs(ns, signal)).find((graph) => graph.name === name) ?? "none", 5_000);
  const graph = data === "none" ? null : data;
  const nodes = useResource(ns, (signal) => listNodes(ns, signal), 15_000);
  const links = useMemo(() => linksOf(graph?.nodes ?? []), [graph]);
  const errors = useMemo(() => placeErrors(graph?.validation_errors ?? [], graph?.nodes ?? []), [graph]);
  const ids = useMemo(() => graph?.nodes.map((node) => node.identifier) ?? [], [graph]);
  if (error && !data) return <Failure error={error} what="graph" />;
  if (data === "none") return <NoGraph ns={ns} name={name} />;
  if (!graph) return <Loading what="the graph" />;
  const byId = new Map(graph.nodes.map((node) => [node.identifier, node]));
  const root = rootOf(graph.nodes);
  const node = selected === null ? undefined : byId.get(selected);

  return (
    <div class="page">
      <header class="page-head">
        <div class="title">
          <p class="crumbs">
            <a href={to.graphs(ns)}>Graphs</a>
          </p>
          <h1>
            <Name>{graph.name}</Name> <Validation status={String(graph.validation_status)} />
          </h1>
        </div>
        <span class="tools">
          <a class="button" href={to.runs(ns, { graph: name })}>
            <Icon name="runs" /> Its runs
          </a>
          <button type="button" class="primary" disabled={graph.validation_status !== "VALID"} onClick={() => setQuery({ trigger: "new" }, { replace: false })}>
            <Icon name="play" /> Trigger
          </button>
        </span>
      </header>
      {(graph.validation_errors ?? []).length > 0 && (
        <section class="callout tone-bad failures" aria-label="Why it is invalid">
          <h2>
            <Icon name="warn" /> Why it is invalid
          </h2>
          <ul>
            {(graph.validation_errors ?? []).map((text) => (
              <li key={text}>
                <span class="prewrap">{text}</span>
                {[...errors].flatMap(([identifier, found]) => (identifier && found.includes(text) ? [<BoxLink key={identifier} id={identifier} />] : []))}
              </li>
            ))}
          </ul>
        </section>
      )}
      <div class={`split${node ? " open" : ""}`}>
        <Canvas
          ids={ids}
          links={links}
          size={SIZE}
          label="The graph"
          selected={selected}
          onSelect={(id) => setQuery({ box: id ?? "" })}
          boxClass={(id) => (errors.has(id) ? "bad" : "plain")}
        >
          {(id) => {
            const found = byId.get(id)!;
            return (
              <>
                <span class="box-head">
                  <strong class="clip">
                    <bdi title={id}>{id}</bdi>
                  </strong>
                  {found === root && <span class="tag">root</span>}
                  {found.unites && (
                    <span class="tag" title={`Joins everything below ${found.unites.identifier} (${found.unites.strategy})`}>
                      <Icon name="join" /> join
                    </span>
                  )}
                  {errors.has(id) && (
                    <span class="bad-text" title={errors.get(id)!.join("\n")}>
                      <Icon name="warn" label="Has a validation error" />
                    </span>
                  )}
                </span>
                <span class="box-node clip">{found.node_name}</span>
              </>
            );
          }}
        </Canvas>
        {node && <NodePanel ns={ns} node={node} errors={errors.get(node.identifier) ?? []} known={byId} />}
      </div>
      <GraphFacts ns={ns} graph={graph} />
      {again !== null && root && <TriggerDialog ns={ns} graph={graph} root={root} nodes={nodes.data ?? []} again={again === "new" ? null : again} onClose={() => setQuery({ trigger: "" })} />}
    </div>
  );
}

function NoGraph({ ns, name }: { ns: string; name: string }) {
  return (
    <Empty icon="graphs" title="There is no such graph in this namespace">
      <p>
        <Name>{name}</Name>
      </p>
      <p>
        <a href={to.graphs(ns)}>All graphs</a>
      </p>
    </Empty>
  );
}

function NodePanel({ ns, node, errors, known }: { ns: string; node: GraphNode; errors: string[]; known: ReadonlyMap<string, GraphNode> }) {
  return (
    <aside class="panel" aria-label={`Node ${node.identifier}`}>
      <header>
        <h2 class="clip">
          <Name>{node.identifier}</Name>
        </h2>
        <button type="button" class="ghost small" aria-label="Close" onClick={() => setQuery({ box: "" })}>
          <Icon name="close" />
        </button>
      </header>
      {errors.map((error) => (
        <p key={error} class="callout tone-bad prewrap">
          {error}
        </p>
      ))}
      <p>
        <span class="muted">Node</span>{" "}
        <a href={to.nodes(ns, { node: node.node_name })}>
          <Name>{node.node_name}</Name>
        </a>
      </p>
      {node.unites && (
        <p>
          Joins everything below <BoxLink id={node.unites.identifier} />: runs once{" "}
          {node.unites.strategy === "ALL_DONE" ? "all of it has ended" : "all of it has succeeded"} (<code>{String(node.unites.strategy)}</code>).
        </p>
      )}
      <h3>Inputs</h3>
      {Object.keys(node.inputs).length ? (
        <dl class="templates">
          {Object.entries(node.inputs).map(([field, template]) => (
            <div key={field}>
              <dt>{field}</dt>
              <dd class="mono prewrap">
                {piecesOf(typeof template === "string" ? template : JSON.stringify(template)).map((piece, i) => {
                  const { refers } = piece;
                  if (!refers) return <span key={i}>{piece.text}</span>;
                  if (refers.kind === "store") return <mark key={i}>{piece.text}</mark>;
                  return known.has(refers.identifier) ? (
                    <button key={i} type="button" class="link ref" title={`Go to ${refers.identifier}`} onClick={() => setQuery({ box: refers.identifier })}>
                      {piece.text}
                    </button>
                  ) : (
                    <mark key={i}>{piece.text}</mark>
                  );
                })}
              </dd>
            </div>
          ))}
        </dl>
      ) : (
        <p class="muted">None</p>
      )}
      {(node.next_nodes ?? []).length > 0 && (
        <>
          <h3>Next</h3>
          <p>
            {node.next_nodes!.map((id) => (
              <BoxLink key={id} id={id} />
            ))}
          </p>
        </>
      )}
    </aside>
  );
}

const BoxLink = ({ id }: { id: string }) => (
  <button type="button" class="link" onClick={() => setQuery({ box: id })}>
    <Name>{id}</Name>
  </button>
);

function GraphFacts({ ns, graph }: { ns: string; graph: GraphItem }) {
  const { data } = useResource(`${ns}/${graph.name}`, async (signal) => (await listRuns(ns, 1, LOOKED_AT, signal)).runs.filter((run) => run.graph_name === graph.name).slice(0, RECENT), 5_000);
  const policy = graph.retry_policy;
  const delays = delaysOf(policy);
  const { required_keys: required = [], default_values: defaults = {} } = graph.store_config;
  const schedules = schedulesOf(graph);
  return (
    <div class="cards">
      <section class="card" aria-label="Recent runs">
        <header>
          <h2>Recent runs</h2>
        </header>
        {data?.length ? (
          <ul class="links">
            {data.map((run) => (
              <li key={run.run_id}>
                <RunBadge status={statusOfRun(run)} />
                <a class="mono" href={to.run(ns, run.run_id)}>
                  {run.run_id.slice(0, 8)}
                </a>
                <Bar counts={countsOfRun(run)} />
                <Time at={run.created_at} />
              </li>
            ))}
          </ul>
        ) : (
          <p class="muted none">None among the newest runs</p>
        )}
      </section>
      <section class="card" aria-label="Retries">
        <header>
          <h2>Retries</h2>
        </header>
        <p>
          {policy.max_retries ? (
            <>
              {counted(policy.max_retries, "retry", "retries")}, <code>{String(policy.strategy)}</code>
            </>
          ) : (
            "None: a state that fails has failed for good"
          )}
        </p>
        {delays.length > 0 && (
          <p class="muted">
            {String(policy.strategy).includes("JITTER") ? "At most " : "After "}
            {delays.map(duration).join(", ")}
            {policy.max_retries > delays.length && " …"}
          </p>
        )}
      </section>
      <section class="card" aria-label="Store and secrets">
        <header>
          <h2>Store and secrets</h2>
        </header>
        {required.length + Object.keys(defaults).length ? (
          <p class="chips">
            {required.map((key) => (
              <code key={key} title="Each trigger must give it">
                {key} *
              </code>
            ))}
            {Object.entries(defaults).map(([key, value]) => (
              <code key={key} title={`${key} = ${value}`}>
                {key} = {value}
              </code>
            ))}
          </p>
        ) : (
          <p class="muted">No store keys</p>
        )}
        {Object.keys(graph.secrets).length ? (
          <p class="chips">
            {Object.keys(graph.secrets).map((secret) => (
              <span key={secret} class="tag">
                <Icon name="key" /> {secret}
              </span>
            ))}
          </p>
        ) : (
          <p class="muted">No secrets</p>
        )}
      </section>
      <section class="card" aria-label="Schedules">
        <header>
          <h2>Schedules</h2>
        </header>
        {schedules.length ? (
          <>
            <p class="chips">
              {schedules.map((expression) => (
                <code key={expression}>{expression}</code>
              ))}
            </p>
            {!has("schedules") && <Missing extension="schedules">The next times are not shown.</Missing>}
          </>
        ) : (
          <p class="muted none">None: it runs when it is triggered</p>
        )}
      </section>
      <p class="muted stamp">
        {count(graph.nodes.length)} nodes · created <Time at={graph.created_at} /> · changed <Time at={graph.updated_at} />
      </p>
    </div>
  );
}
