// Requests to the service, under the session.
import { signal } from "@preact/signals";
import { ApiError, detailOf, Unreachable } from "./errors";
import { forget, needsSignIn, session, SESSION_HEADER } from "./session";

/** Since when the service has not been reached; null while it is. */
export const goneSince = signal<number | null>(null);

const GATEWAY_FAULTS = new Set([502, 503, 504]);

export interface Options {
  method?: "GET" | "POST" | "PUT" | "DELETE";
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

export async function send(path: string, options: Options = {}): Promise<Response> {
  const headers: Record<string, string> = { ...options.headers };
  const token = session.value?.session;
  if (token) headers[SESSION_HEADER] = token;
  if (options.body !== undefined) headers["content-type"] = "application/json";
  let response: Response;
  try {
    response = await fetch(path, {
      method: options.method ?? "GET",
      headers,
      body: options.body === undefined ? null : JSON.stringify(options.body),
      signal: options.signal ?? null,
      cache: "no-store",
    });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    goneSince.value ??= Date.now();
    throw new Unreachable("The service cannot be reached");
  }
  if (GATEWAY_FAULTS.has(response.status)) {
    goneSince.value ??= Date.now();
    throw new Unreachable(await detailOf(response));
  }
  goneSince.value = null;
  if (response.status === 401) {
    const detail = await detailOf(response);
    if (!token) needsSignIn.value = true;
    else if (token === session.value?.session) forget(detail);
    throw new ApiError(401, detail);
  }
  if (!response.ok) throw new ApiError(response.status, await detailOf(response));
  return response;
}

export async function request<T>(path: string, options: Options = {}): Promise<T> {
  return (await (await send(path, options)).json()) as T;
}

/** A path below a namespace, each part encoded. */
export function inNamespace(namespace: string, ...parts: (string | number)[]): string {
  return ["/v0/namespace", namespace, ...parts].map((part, i) => (i ? encodeURIComponent(part) : part)).join("/");
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
