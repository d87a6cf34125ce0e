// The document that the service serves, readable.
import { apiDocument, extensions, type Document, type Operation, type Parameter, type Schema } from "../api/features";
import { place, setQuery } from "../router";
import { CopyButton, Empty, Loading, Search } from "../ui/basics";
import { Icon } from "../ui/icons";

const METHODS = ["get", "post", "put", "patch", "delete"];
const DEEPEST = 4;

interface Entry {
  path: string;
  method: string;
  operation: Operation;
  shared: Parameter[];
}

function entriesOf(document: Document): Entry[] {
  return Object.entries(document.paths ?? {}).flatMap(([path, item]) =>
    METHODS.flatMap((method) => {
      const operation = item[method] as Operation | undefined;
      return operation ? [{ path, method, operation, shared: (item["parameters"] as Parameter[] | undefined) ?? [] }] : [];
    }),
  );
}

/** What a reference leads to. */
function resolve<T extends { $ref?: string }>(document: Document, value: T | undefined): T | undefined {
  let found: unknown = value;
  for (let steps = 0; steps < 8; steps++) {
    const ref = (found as { $ref?: string } | undefined)?.$ref;
    if (!ref?.startsWith("#/")) break;
    found = ref
      .slice(2)
      .split("/")
      .reduce<unknown>((at, part) => (at as Record<string, unknown> | undefined)?.[part], document);
  }
  return found as T | undefined;
}

export function ApiPage() {
  const document = apiDocument.value;
  const { query } = place.value;
  const text = (query.get("q") ?? "").toLowerCase();
  const selected = query.get("op");
  if (!document) return <Loading what="the document" />;
  const entries = entriesOf(document);
  const shown = entries.filter(({ path, operation }) => `${path} ${operation.operationId ?? ""} ${operation.summary ?? ""}`.toLowerCase().includes(text));
  const tags = [...new Set(shown.map(({ operation }) => operation.tags?.[0] ?? "other"))];
  return (
    <div class="page">
      <header class="page-head">
        <h1>API</h1>
        <p class="muted">
          {document.info?.title} {document.info?.version}
        </p>
        <span class="tools">
          <a class="button" href="/openapi.json" target="_blank" rel="noreferrer">
            <Icon name="api" /> openapi.json
          </a>
        </span>
      </header>
      {entries.length === 0 ? (
        <Empty icon="api" title="This service serves no OpenAPI document">
          <p>
            Nothing is at <code>/openapi.json</code>, so the page uses the operations that every service has, and no extension.
          </p>
        </Empty>
      ) : (
        <>
          <p class="chips">
            <span class="muted">Extensions</span>
            {[...(extensions.value ?? [])].sort().map((name) => (
              <code key={name}>{name}</code>
            ))}
            {!extensions.value?.size && <span class="muted">none</span>}
          </p>
          <div class="filters">
            <Search label="Search by path or operation" value={query.get("q") ?? ""} onInput={(q) => setQuery({ q })} />
          </div>
          {tags.map((tag) => (
            <section key={tag} aria-label={tag}>
              <h2 class="group-title">{tag}</h2>
              <ul class="node-list">
                {shown
                  .filter(({ operation }) => (operation.tags?.[0] ?? "other") === tag)
                  .map((entry) => (
                    <OperationItem key={`${entry.method} ${entry.path}`} document={document} entry={entry} isOpen={selected === `${entry.method} ${entry.path}`} />
                  ))}
              </ul>
            </section>
          ))}
        </>
      )}
    </div>
  );
}

function OperationItem({ document, entry, isOpen }: { document: Document; entry: Entry; isOpen: boolean }) {
  const { path, method, operation, shared } = entry;
  const extension = operation["x-exosphere-extension"];
  const name = `${method} ${path}`;
  return (
    <li class="card">
      <button type="button" class="node-head" aria-expanded={isOpen} onClick={() => setQuery({ op: isOpen ? "" : name })}>
        <span class={`method method-${method}`}>{method.toUpperCase()}</span>
        <code class="clip">{path}</code>
        {extension && <span class="tag">{extension}</span>}
        <span class="muted clip">{operation.summary}</span>
      </button>
      {isOpen && <OperationBody document={document} operation={operation} shared={shared} />}
    </li>
  );
}

function OperationBody({ document, operation, shared }: { document: Document; operation: Operation; shared: Parameter[] }) {
  const parameters = [...shared, ...(operation.parameters ?? [])].map((parameter) => resolve(document, parameter)!).filter(Boolean);
  const body = resolve(document, operation.requestBody)?.content?.["application/json"];
  return (
    <div class="node-body">
      {operation.description && <p class="prewrap"><Prose>{operation.description}</Prose></p>}
      {parameters.length > 0 && (
        <>
          <h3>Parameters</h3>
          <dl class="schema">
            {parameters.map((parameter) => (
              <div key={parameter.in + parameter.name}>
                <dt>
                  <code>{parameter.name}</code> <span class="muted">{parameter.in}</span>
                  {parameter.required && <em> required</em>}
                </dt>
                <dd><span><Prose>{parameter.description}</Prose></span></dd>
              </div>
            ))}
          </dl>
        </>
      )}
      {body && (
        <>
          <h3>Request</h3>
          <SchemaView document={document} schema={body.schema} depth={0} />
          <Example value={body.example} />
        </>
      )}
      <h3>Responses</h3>
      {Object.entries(operation.responses ?? {}).map(([status, given]) => {
        const response = resolve(document, given);
        const content = response?.content?.["application/json"];
        return (
          <div key={status} class="response">
            <p>
              <code class={status.startsWith("2") ? "good-text" : "bad-text"}>{status}</code> <Prose>{response?.description}</Prose>
            </p>
            {status.startsWith("2") && content && (
              <>
                <SchemaView document={document} schema={content.schema} depth={0} />
                <Example value={content.example} />
              </>
            )}
          </div>
        );
      })}
    </div>
  );
}

/** Text in which what stands between backticks is code. */
function Prose({ children }: { children: string | undefined }) {
  return <>{(children ?? "").split("`").map((part, i) => (i % 2 ? <code key={i}>{part}</code> : part))}</>;
}

function Example({ value }: { value: unknown }) {
  if (value === undefined) return null;
  const text = JSON.stringify(value, null, 2);
  return (
    <details>
      <summary>Example</summary>
      <div class="example">
        <pre tabIndex={0}>{text}</pre>
        <CopyButton text={text} label="Copy the example" />
      </div>
    </details>
  );
}

function SchemaView({ document, schema, depth }: { document: Document; schema: Schema | undefined; depth: number }) {
  const found = resolve(document, schema);
  const target = found?.items ? resolve(document, found.items) : found;
  const properties = Object.entries(target?.properties ?? {});
  if (!properties.length || depth > DEEPEST) return null;
  const required = new Set(target?.required ?? []);
  return (
    <dl class="schema">
      {properties.map(([name, given]) => {
        const property = resolve(document, given);
        return (
          <div key={name}>
            <dt>
              <code>{name}</code> <span class="muted">{typeOf(document, given)}</span>
              {required.has(name) && <em> required</em>}
            </dt>
            <dd>
              <span>
                <Prose>{property?.description ?? resolve(document, property?.items)?.description}</Prose>
              </span>
              <SchemaView document={document} schema={given} depth={depth + 1} />
            </dd>
          </div>
        );
      })}
    </dl>
  );
}

function typeOf(document: Document, schema: Schema): string {
  const found = resolve(document, schema);
  if (!found) return "";
  if (found.anyOf) return [...new Set(found.anyOf.map((part) => typeOf(document, part)))].join(" or ");
  if (found.enum) return found.enum.join(" | ");
  const type = Array.isArray(found.type) ? found.type.join(" or ") : (found.type ?? "any");
  if (type === "array") return `array of ${found.items ? typeOf(document, found.items) : "any"}`;
  return found.format ? `${type}, ${found.format}` : type;
}
