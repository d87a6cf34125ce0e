// Which extensions the service has: its OpenAPI document marks what belongs to one.
import { signal } from "@preact/signals";
import { request } from "./client";
import { ApiError } from "./errors";

export interface Schema {
  $ref?: string;
  type?: string | string[];
  format?: string;
  enum?: unknown[];
  description?: string;
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  anyOf?: Schema[];
  default?: unknown;
  [key: string]: unknown;
}
export interface Parameter {
  $ref?: string;
  name: string;
  in: string;
  description?: string;
  required?: boolean;
  schema?: Schema;
}
export interface Content {
  content?: Record<string, { schema?: Schema; example?: unknown }>;
}
export interface Operation {
  operationId?: string;
  summary?: string;
  description?: string;
  tags?: string[];
  parameters?: Parameter[];
  requestBody?: Content & { $ref?: string };
  responses?: Record<string, Content & { $ref?: string; description?: string }>;
  "x-exosphere-extension"?: string;
}
export interface Document {
  info?: { title?: string; version?: string; description?: string };
  paths?: Record<string, Record<string, Operation | Parameter[]>>;
  components?: Record<string, Record<string, unknown>>;
  tags?: { name: string; description?: string }[];
}

const MARK = "x-exosphere-extension";

export const apiDocument = signal<Document | null>(null);
/** Names of the extensions; null until they are known. */
export const extensions = signal<ReadonlySet<string> | null>(null);

export function extensionsOf(document: unknown): Set<string> {
  const found = new Set<string>();
  const visit = (value: unknown): void => {
    if (Array.isArray(value)) value.forEach(visit);
    else if (value && typeof value === "object") {
      for (const [key, item] of Object.entries(value)) {
        if (key === MARK && typeof item === "string") found.add(item);
        else visit(item);
      }
    }
  };
  visit(document);
  return found;
}

export function has(extension: string): boolean {
  return extensions.value?.has(extension) ?? false;
}

export async function learnExtensions(): Promise<void> {
  let document: Document = {};
  try {
    document = await request<Document>("/openapi.json");
  } catch (error) {
    // Without a document there are no extensions; a service that is gone is asked again.
    if (!(error instanceof ApiError)) throw error;
    // It is there, for those who have signed in.
    if (error.status === 401) return;
  }
  apiDocument.value = document;
  extensions.value = extensionsOf(document);
}
