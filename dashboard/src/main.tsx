import { render } from "preact";
import { messageOf } from "./api/client";
import { forget, session, shareWithTabs, signInWithLink, takeLink } from "./api/session";
import { App } from "./app";
import "./styles/index.css";

const root = document.getElementById("app")!;
const link = takeLink();
// A link is for the session of whoever has it, whatever other tabs have.
await shareWithTabs();
if (link) {
  try {
    await signInWithLink(link);
  } catch (error) {
    if (!session.value) forget(messageOf(error));
  }
}
render(<App />, root);
