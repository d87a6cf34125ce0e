// Signing in: the key is exchanged for a session and forgotten.
import { useState } from "preact/hooks";
import { messageOf } from "../api/client";
import { signedOutBecause, signInWithKey } from "../api/session";
import { Command } from "../ui/basics";
import { Icon, Logo } from "../ui/icons";

export function SignInPage() {
  const [key, setKey] = useState("");
  const [error, setError] = useState("");
  const [isSending, setSending] = useState(false);
  const because = error || signedOutBecause.value;
  const send = async (): Promise<void> => {
    setSending(true);
    setError("");
    try {
      await signInWithKey(key.trim());
    } catch (reason) {
      setError(reason instanceof TypeError ? "The service cannot be reached. Is it running?" : messageOf(reason));
      setSending(false);
    }
  };
  return (
    <main class="sign-in">
      <form
        class="card"
        onSubmit={(event) => {
          event.preventDefault();
          void send();
        }}
      >
        <Logo />
        <h1>Sign in to ExosphereHost</h1>
        {because && (
          <div class="callout tone-bad" role="alert">
            <Icon name="warn" /> {because}
          </div>
        )}
        <label>
          <span>API key</span>
          <input type="password" name="key" autocomplete="off" spellcheck={false} autofocus required value={key} onInput={(event) => setKey(event.currentTarget.value)} />
        </label>
        <button type="submit" class="primary" disabled={isSending || !key.trim()}>
          {isSending ? "Signing in…" : "Sign in"}
        </button>
        <div class="hint">
          <p>
            The key is what clients send: the variable <code>EXOSPHERE_API_KEY</code>, or the file that the server keeps beside its database:
          </p>
          <Command>cat exosphere.db.api-key</Command>
          <p>
            In a terminal, <code>serve</code> and <code>dev</code> also print a link that signs in once.
          </p>
        </div>
      </form>
    </main>
  );
}
