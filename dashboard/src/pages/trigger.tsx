// The form that triggers a graph, made from its root's schema and its store's keys.
import { useEffect, useRef, useState } from "preact/hooks";
import { messageOf } from "../api/client";
import { has } from "../api/features";
import { getRun, getRunGraph, getState, randomId, trigger } from "../api/operations";
import type { GraphItem, GraphNode, Node } from "../api/types";
import { fieldsOf, type Field } from "../model/graph";
import { go, to } from "../router";
import { Dialog, Missing } from "../ui/basics";
import { Icon } from "../ui/icons";

interface Props {
  ns: string;
  graph: GraphItem;
  root: GraphNode;
  nodes: readonly Node[];
  /** The run whose inputs to begin with. */
  again: string | null;
  onClose: () => void;
}

export function TriggerDialog({ ns, graph, root, nodes, again, onClose }: Props) {
  const schema = nodes.find((node) => node.name === root.node_name)?.inputs_schema;
  const declared = fieldsOf(schema);
  const templates = Object.fromEntries(Object.entries(root.inputs).map(([key, value]) => [key, String(value)]));
  const fields: Field[] = [...declared, ...Object.keys(templates).filter((name) => !declared.some((field) => field.name === name)).map((name) => ({ name, isRequired: false, description: "" }))];
  const required = graph.store_config.required_keys ?? [];
  const defaults = graph.store_config.default_values ?? {};

  const [inputs, setInputs] = useState<Record<string, string>>(templates);
  const [store, setStore] = useState<Record<string, string>>({});
  const [delay, setDelay] = useState("0");
  const [error, setError] = useState("");
  const [isSending, setSending] = useState(false);
  const key = useRef(randomId());

  useEffect(() => {
    if (again === null) return;
    const aborter = new AbortController();
    const read = async (): Promise<void> => {
      const before = await getRunGraph(ns, again, aborter.signal);
      const first = before.root_states.find((state) => state.identifier === root.identifier);
      if (first) {
        const state = await getState(ns, before.graph_name, again, first.id, aborter.signal);
        setInputs((now) => ({ ...now, ...Object.fromEntries(Object.entries(state.inputs).map(([name, value]) => [name, String(value)])) }));
      }
      if (has("get-run")) setStore((await getRun(ns, again, aborter.signal)).store ?? {});
    };
    read().catch((reason: unknown) => !aborter.signal.aborted && setError(messageOf(reason)));
    return () => aborter.abort();
  }, [again]);

  const send = async (): Promise<void> => {
    setSending(true);
    setError("");
    try {
      // What stands in the template is left to it.
      const given = Object.fromEntries(Object.entries(inputs).filter(([name, value]) => value !== templates[name]));
      const { run_id } = await trigger(ns, graph.name, { inputs: given, store, start_delay: Math.round(Number(delay) * 1_000) }, key.current);
      go(to.run(ns, run_id), { replace: true });
    } catch (reason) {
      setError(messageOf(reason));
      // Another body needs another key.
      key.current = randomId();
      setSending(false);
    }
  };

  return (
    <Dialog title={again === null ? `Trigger ${graph.name}` : `Run ${graph.name} again`} onClose={onClose}>
      <form
        class="form"
        onSubmit={(event) => {
          event.preventDefault();
          void send();
        }}
      >
        {fields.length > 0 && <h3>Inputs of {root.identifier}</h3>}
        {fields.map(({ name, description }, i) => (
          <label key={name}>
            <span>
              <code>{name}</code> {description && <em>{description}</em>}
            </span>
            <textarea data-first={i === 0 || undefined} rows={(inputs[name] ?? "").includes("\n") ? 5 : 1} value={inputs[name] ?? ""} onInput={(event) => setInputs({ ...inputs, [name]: event.currentTarget.value })} />
          </label>
        ))}
        {required.length + Object.keys(defaults).length > 0 && <h3>Store</h3>}
        {[...required, ...Object.keys(defaults).filter((name) => !required.includes(name))].map((name) => (
          <label key={name}>
            <span>
              <code>{name}</code> {required.includes(name) ? <em>required</em> : <em>default: {defaults[name]}</em>}
            </span>
            <textarea
              rows={1}
              required={required.includes(name)}
              value={store[name] ?? ""}
              placeholder={defaults[name] ?? ""}
              onInput={(event) => {
                const value = event.currentTarget.value;
                const { [name]: _, ...others } = store;
                setStore(value || required.includes(name) ? { ...others, [name]: value } : others);
              }}
            />
          </label>
        ))}
        <label class="short">
          <span>Start after (seconds)</span>
          <input type="number" min="0" step="any" value={delay} onInput={(event) => setDelay(event.currentTarget.value)} />
        </label>
        {again !== null && !has("get-run") && required.length > 0 && <Missing extension="get-run">The store of that run is not known: give its keys again.</Missing>}
        {error && (
          <div class="callout tone-bad prewrap" role="alert">
            {error}
          </div>
        )}
        <footer>
          <button type="submit" class="primary" disabled={isSending}>
            <Icon name="play" /> {isSending ? "Triggering…" : "Trigger"}
          </button>
        </footer>
      </form>
    </Dialog>
  );
}
