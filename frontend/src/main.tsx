// The frame around every page: header, sign-in, notices; pages are loaded when they are opened.

import { render, type ComponentType } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { setToken, signInNeeded, token } from "./api";
import { keepFocus } from "./focus";
import { line } from "./live";
import { Runs } from "./pages/runs";
import { listen, place } from "./router";
import { isDark, toggleTheme } from "./theme";
import { Icon, Mark } from "./ui/icons";
import { Field, Heading, notice, said, Waiting } from "./ui/parts";

type Page = ComponentType<{ id: string }>;

const PAGES: [RegExp, () => Promise<Page>][] = [
  [/^\/new$/, async () => (await import("./pages/new")).New],
  [/^\/runs\/([^/]+)$/, async () => (await import("./pages/run")).Run],
  [/^\/compare$/, async () => (await import("./pages/compare")).Compare],
  [/^\/campaigns$/, async () => (await import("./pages/campaigns")).Campaigns],
  [/^\/campaigns\/([^/]+)$/, async () => (await import("./pages/campaign")).CampaignPage],
  [/^\/queue$/, async () => (await import("./pages/queue")).Queue],
  [/^\/library$/, async () => (await import("./pages/library")).Library],
  [/^\/about$/, async () => (await import("./pages/about")).About],
];

function Lazy({ load, id }: { load: () => Promise<Page>; id: string }) {
  const [state, setState] = useState<{ load: () => Promise<Page>; page?: Page; error?: unknown }>({ load });
  useEffect(() => {
    let current = true;
    load().then(
      (page) => current && setState({ load, page }),
      (error: unknown) => current && setState({ load, error }),
    );
    return () => void (current = false);
  }, [load]);
  if (state.load !== load || !state.page) return <Waiting what="the page" error={state.error} />;
  return <state.page key={id} id={id} />;
}

function Body() {
  const path = place.value.path;
  if (path === "/") return <Runs />;
  for (const [pattern, load] of PAGES) {
    const match = pattern.exec(path);
    if (match) return <Lazy load={load} id={decodeURIComponent(match[1] ?? "")} />;
  }
  return (
    <div class="empty">
      <Heading>There is no such page</Heading>
      <a href="/">All runs</a>
    </div>
  );
}

const LINKS: [string, string][] = [
  ["/", "Runs"],
  ["/new", "New"],
  ["/campaigns", "Campaigns"],
  ["/queue", "Queue"],
  ["/library", "Library"],
  ["/about", "About"],
];

/** Nothing of what was seen stays in the page. */
function signOut(): void {
  setToken(null);
  window.location.assign("/");
}

function Header() {
  const path = place.value.path;
  const away = line.value === "reconnecting";
  const isHere = (to: string) => path === to || (to === "/" ? /^\/(runs|compare)/.test(path) : path.startsWith(`${to}/`));
  return (
    <header class="top">
      <div>
        <a class="mark" href="/">
          <Mark />
          kanad
        </a>
        <nav aria-label="Pages">
          <ul>
            {LINKS.map(([to, text]) => (
              <li key={to}>
                <a href={to} aria-current={isHere(to) ? "page" : undefined}>
                  {text}
                </a>
              </li>
            ))}
          </ul>
        </nav>
        <div class="side">
          <span class={away ? "line away" : "line"} role="status">
            {away ? "Reconnecting" : line.value === "live" ? "Live" : ""}
          </span>
          {token.value === null ? null : (
            <button type="button" class="button quiet small" onClick={signOut}>
              Sign out
            </button>
          )}
          <button type="button" class="icon-button" aria-label={isDark.value ? "Light theme" : "Dark theme"} onClick={toggleTheme}>
            <Icon name={isDark.value ? "sun" : "moon"} />
          </button>
        </div>
      </div>
    </header>
  );
}

function SignIn() {
  const dialog = useRef<HTMLDialogElement>(null);
  const [text, setText] = useState("");
  const needed = signInNeeded.value;
  useEffect(() => {
    if (needed) dialog.current?.showModal();
    else dialog.current?.close();
  }, [needed]);
  function onSubmit(event: SubmitEvent): void {
    event.preventDefault();
    setToken(text.trim());
    window.location.reload();
  }
  return (
    <dialog ref={dialog} aria-labelledby="sign-in" onCancel={(event) => event.preventDefault()}>
      <form onSubmit={onSubmit}>
        <h2 id="sign-in">Sign in</h2>
        <p class="muted">
          {token.value === null ? "This server asks who you are. Your token comes from its administrator." : "The server does not know this token any more."}
        </p>
        <Field label="Token">
          {(ids) => <input {...ids} type="password" autocomplete="off" required value={text} onInput={(event) => setText(event.currentTarget.value)} />}
        </Field>
        <button class="button primary">Sign in</button>
      </form>
    </dialog>
  );
}

function App() {
  return (
    <>
      <a class="skip" href="#main">
        Skip to the content
      </a>
      <Header />
      <main id="main" tabIndex={-1}>
        <Body />
      </main>
      <SignIn />
      {notice.value === null ? null : (
        <div class="notice">
          <span>{notice.value}</span>
          <button type="button" onClick={() => (notice.value = null)}>
            Close
          </button>
        </div>
      )}
      <div class="visually-hidden" aria-live="polite">
        {said.value}
      </div>
    </>
  );
}

listen();
keepFocus();
render(<App />, document.getElementById("app")!);
