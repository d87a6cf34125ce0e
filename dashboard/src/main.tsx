import { render } from "preact";
import { messageOf } from "./api/client";
import { forget, signInWithLink, takeLink } from "./api/session";
import { App } from "./app";
import "./styles/index.css";

const root = document.getElementById("app")!;
const link = takeLink();
if (link) {
  try {
    await signInWithLink(link);
  } catch (error) {
    forget(messageOf(error));
  }
}
render(<App />, root);
