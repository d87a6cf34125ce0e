// What a graph's page works out of a template.
import type { GraphItem, GraphNode, Node, RetryPolicy } from "../api/types";

/** The node that begins: the one that nothing leads to. */
export function rootOf(nodes: readonly GraphNode[]): GraphNode | undefined {
  const led = new Set(nodes.flatMap((node) => node.next_nodes ?? []));
  return nodes.find((node) => !led.has(node.identifier) && !node.unites);
}

/** Validation errors by the identifiers that they name, or whose node they name; under "" what names none. */
export function placeErrors(errors: readonly string[], nodes: readonly GraphNode[]): Map<string, string[]> {
  const placed = new Map<string, string[]>();
  const put = (identifier: string, error: string) => placed.set(identifier, [...(placed.get(identifier) ?? []), error]);
  for (const error of errors) {
    const words = new Set(error.split(/[^\p{L}\p{N}_.-]+/u).flatMap((word) => [word, word.replace(/[.,]+$/, "")]));
    const named = (text: string) => words.has(text) || error.includes(`'${text}'`) || error.includes(`"${text}"`);
    let found = nodes.filter((node) => named(node.identifier));
    if (!found.length) found = nodes.filter((node) => named(node.node_name));
    if (found.length) for (const node of found) put(node.identifier, error);
    else put("", error);
  }
  return placed;
}

/** Names of nodes that graphs use in their own namespace and no runtime has registered there. */
export function missingNodes(ns: string, graphs: readonly Pick<GraphItem, "nodes">[], nodes: readonly Pick<Node, "name">[]): string[] {
  const known = new Set(nodes.map((node) => node.name));
  const used = graphs.flatMap((graph) => graph.nodes.filter((node) => node.namespace === ns).map((node) => node.node_name));
  return [...new Set(used)].filter((name) => !known.has(name)).sort();
}

export interface Field {
  name: string;
  isRequired: boolean;
  description: string;
}

export function fieldsOf(schema: Node["inputs_schema"] | undefined): Field[] {
  const properties = (schema?.["properties"] ?? {}) as Record<string, { description?: string; title?: string }>;
  const required = new Set((schema?.["required"] ?? []) as string[]);
  return Object.entries(properties).map(([name, property]) => ({
    name,
    isRequired: required.has(name),
    description: typeof property?.description === "string" ? property.description : "",
  }));
}

/** The delays before the first retries, in milliseconds, without jitter and at most `most` of them. */
export function delaysOf(policy: RetryPolicy, most = 5): number[] {
  const { max_retries, backoff_factor: base, exponent, max_delay } = policy;
  const strategy = String(policy.strategy);
  return Array.from({ length: Math.min(max_retries, most) }, (_, i) => {
    const delay = strategy.startsWith("EXPONENTIAL") ? base * exponent ** i : strategy.startsWith("LINEAR") ? base * (i + 1) : base;
    return max_delay === null ? delay : Math.min(delay, max_delay);
  });
}
