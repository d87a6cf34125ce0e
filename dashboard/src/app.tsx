// The frame of every page: navigation, namespace, and what is wrong with the connection.
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { goneSince } from "./api/client";
import { extensions, learnExtensions } from "./api/features";
import { listNamespaces } from "./api/operations";
import { needsSignIn, session, signOut } from "./api/session";
import { useKeys } from "./lib/keys";
import { useResource } from "./lib/resource";
import { clock } from "./lib/time";
import { ApiPage } from "./pages/api";
import { GraphPage } from "./pages/graph";
import { GraphsPage } from "./pages/graphs";
import { NodesPage } from "./pages/nodes";
import { OverviewPage } from "./pages/overview";
import { RunPage } from "./pages/run";
import { RunsPage } from "./pages/runs";
import { SchedulesPage } from "./pages/schedules";
import { SignInPage } from "./pages/sign_in";
import { StatePage } from "./pages/state";
import { followLinks, go, hrefTo, place, to } from "./router";
import { Command, Dialog, Empty, Loading } from "./ui/basics";
import { Icon, Logo, type IconName } from "./ui/icons";

const LAST_NAMESPACE = "exospherehost.namespace";

export function App() {
  if (!session.value && (needsSignIn.value || place.value.parts[0] !== "api")) return <SignInPage />;
  return <Frame />;
}

function Frame() {
  const { parts } = place.value;
  const ns = parts[0] === "n" ? (parts[1] ?? "") : "";
  const [isHelpOpen, setHelpOpen] = useState(false);
  const token = session.value?.session ?? "";
  useEffect(() => {
    let timer = 0;
    const learn = (): void => void learnExtensions().catch(() => (timer = window.setTimeout(learn, 2_000)));
    learn();
    return () => clearTimeout(timer);
  }, [token, goneSince.value === null]);
  const names = useResource(token || null, listNamespaces, 15_000);
  const known = [...new Set([...(session.value?.namespaces ?? []), ...(names.data ?? []), ...(ns ? [ns] : [])])].sort();

  useEffect(() => {
    if (ns) sessionStorage.setItem(LAST_NAMESPACE, ns);
  }, [ns]);
  const home = ns || sessionStorage.getItem(LAST_NAMESPACE) || known[0] || "default";
  useEffect(() => {
    // Where to begin is known once the namespaces are.
    if (!parts.length && (names.data || names.error)) go(to.runs(home), { replace: true });
  }, [parts.length, names.data, names.error]);
  useEffect(() => {
    document.title = [parts[4] === "states" ? "State" : parts[3] ? parts[3].slice(0, 24) : (parts[2] ?? parts[0] ?? ""), ns, "ExosphereHost"].filter(Boolean).join(" · ");
  }, [place.value]);

  useKeys({
    "/": () => document.querySelector<HTMLInputElement>("[data-search]")?.focus(),
    "?": () => setHelpOpen(true),
    "g o": () => go(to.overview(home)),
    "g s": () => go(to.schedules(home)),
    "g r": () => go(to.runs(home)),
    "g g": () => go(to.graphs(home)),
    "g n": () => go(to.nodes(home)),
    "g a": () => go(to.api()),
    u: () => document.querySelector<HTMLAnchorElement>(".crumbs a:last-of-type")?.click(),
  });

  const links: [string, string, IconName, string][] = [
    ["overview", to.overview(home), "home", "Overview"],
    ["runs", to.runs(home), "runs", "Runs"],
    ["graphs", to.graphs(home), "graphs", "Graphs"],
    ["schedules", to.schedules(home), "clock", "Schedules"],
    ["nodes", to.nodes(home), "nodes", "Nodes"],
    ["api", to.api(), "api", "API"],
  ];
  const active = parts[0] === "api" ? "api" : parts[2];
  return (
    <div class="frame" onClick={followLinks}>
      <a class="skip" href="#main" onClick={(event) => {
        event.preventDefault();
        document.querySelector("main")?.focus();
      }}>
        Skip to the page
      </a>
      <aside class="side">
        <a class="brand" href={to.runs(home)}>
          <Logo /> <span>Exosphere</span>
        </a>
        {token && <NamespacePicker ns={home} known={known} section={parts[2] ?? "runs"} />}
        <nav aria-label="Pages">
          {links.map(([name, href, icon, word]) => (
            <a key={name} href={href} aria-current={active === name ? "page" : undefined}>
              <Icon name={icon} /> {word}
            </a>
          ))}
        </nav>
        <div class="side-foot">
          <button type="button" class="ghost" onClick={() => setHelpOpen(true)}>
            <kbd>?</kbd> <span>Keyboard</span>
          </button>
          {token ? (
            <button type="button" class="ghost" onClick={() => void signOut()}>
              <Icon name="out" /> <span>Sign out</span>
            </button>
          ) : (
            <a class="button ghost" href="/ui/">
              <Icon name="key" /> <span>Sign in</span>
            </a>
          )}
        </div>
      </aside>
      <main id="main" tabIndex={-1}>
        {goneSince.value !== null && (
          <div class="outage" role="alert">
            <Icon name="warn" /> The service has not been reached since {clock(goneSince.value)}. What is shown is from before; it goes on by itself.
          </div>
        )}
        <Page parts={parts} ns={ns} />
      </main>
      {isHelpOpen && <Help onClose={() => setHelpOpen(false)} />}
    </div>
  );
}

function Page({ parts, ns }: { parts: string[]; ns: string }): ComponentChildren {
  const [kind, , section, id, inner, innerId] = parts;
  if (kind === "api") return <ApiPage />;
  if (!parts.length) return <Loading what="namespaces" />;
  if (kind === "n" && ns) {
    if (extensions.value === null) return <Loading what="the service" />;
    if (section === "overview") return <OverviewPage ns={ns} />;
    if (section === "schedules") return <SchedulesPage ns={ns} />;
    if (section === "runs" && id && inner === "states" && innerId) return <StatePage key={innerId} ns={ns} run={id} id={innerId} />;
    if (section === "runs" && id) return <RunPage key={id} ns={ns} run={id} />;
    if (section === "runs" || section === undefined) return <RunsPage key={ns} ns={ns} />;
    if (section === "graphs" && id) return <GraphPage key={id} ns={ns} name={id} />;
    if (section === "graphs") return <GraphsPage ns={ns} />;
    if (section === "nodes") return <NodesPage ns={ns} />;
  }
  return (
    <Empty icon="search" title="There is no such page">
      <p>
        <a href="/ui/">Begin at the runs</a>
      </p>
    </Empty>
  );
}

const OTHER = "\n";
const SECTIONS = ["overview", "graphs", "schedules", "nodes"];

function NamespacePicker({ ns, known, section }: { ns: string; known: string[]; section: string }) {
  const [isAsking, setAsking] = useState(false);
  const [text, setText] = useState("");
  const pick = (name: string): void => go(hrefTo(["n", name, SECTIONS.includes(section) ? section : "runs"]));
  return (
    <>
    <label class="namespace">
      <span>Namespace</span>
      <select
        value={ns}
        onChange={(event) => {
          if (event.currentTarget.value !== OTHER) pick(event.currentTarget.value);
          else setAsking(true);
          event.currentTarget.value = ns;
        }}
      >
        {(known.includes(ns) ? known : [ns, ...known]).map((name) => (
          <option key={name} value={name}>
            {name}
          </option>
        ))}
        <option value={OTHER}>Another…</option>
      </select>
    </label>
      {isAsking && (
        <Dialog title="Another namespace" onClose={() => setAsking(false)}>
          <form
            class="form"
            onSubmit={(event) => {
              event.preventDefault();
              setAsking(false);
              if (text) pick(text);
            }}
          >
            <label>
              <span>Name; it needs no creation</span>
              <input value={text} required pattern="[^\/]+" data-first onInput={(event) => setText(event.currentTarget.value)} />
            </label>
            <footer>
              <button type="submit" class="primary">
                Show
              </button>
            </footer>
          </form>
        </Dialog>
      )}
    </>
  );
}

const KEYS: [string, string][] = [
  ["/", "Search"],
  ["j  k", "Next and previous row"],
  ["Enter", "Open the row"],
  ["x", "Select the run"],
  ["u", "Up: to what this belongs to"],
  ["g o", "Overview"],
  ["g r", "Runs"],
  ["g g", "Graphs"],
  ["g s", "Schedules"],
  ["g n", "Nodes"],
  ["g a", "API"],
  ["?", "This help"],
];

function Help({ onClose }: { onClose: () => void }) {
  return (
    <Dialog title="Keyboard" onClose={onClose}>
      <dl class="keys">
        {KEYS.map(([keys, word]) => (
          <div key={keys}>
            <dt>
              {keys.split(/ +/).map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{word}</dd>
          </div>
        ))}
      </dl>
      <p class="muted">In a shell, with the same service:</p>
      <Command>exospherehost --help</Command>
    </Dialog>
  );
}
