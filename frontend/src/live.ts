// Live lines to the server. This is the only module that knows how updates arrive.

import { signal } from "@preact/signals";
import { API, get, isAbort, ticket } from "./api";
import type { Event, Experiment } from "./types";

export type Line = "live" | "reconnecting" | "closed";
/** How the page's line to the server is; shown in the header. */
export const line = signal<Line>("live");

const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 5_000;

/** Waits that double, with chance in them so that many pages do not come back at once. */
function waits(): { next: () => number; reset: () => void } {
  let wait = FIRST_WAIT_MS;
  return {
    next: () => {
      const now = wait * (0.75 + Math.random() / 2);
      wait = Math.min(wait * 2, LONGEST_WAIT_MS);
      return now;
    },
    reset: () => (wait = FIRST_WAIT_MS),
  };
}

const socketAddress = (path: string): string => `${window.location.protocol === "https:" ? "wss" : "ws"}://${window.location.host}${path}`;

const ENDED = 1000;
const REFUSED: ReadonlySet<number> = new Set([4400, 4401, 4403, 4404]);

/**
 * Follow a run from behind event `after()` on, over lost lines and restarts, until it has ended.
 * `take` gets each batch and says false where a number is missing; then the line is opened again from `after()`.
 */
export function follow(id: string, after: () => number, take: (events: Event[]) => boolean, ended: (code: number) => void): () => void {
  const pause = waits();
  let socket: WebSocket | null = null;
  let timer = 0;
  let stopped = false;

  async function open(): Promise<void> {
    let pass: string | null;
    try {
      pass = await ticket();
    } catch {
      again();
      return;
    }
    if (stopped) return;
    const query = new URLSearchParams({ after: String(after()) });
    if (pass !== null) query.set("ticket", pass);
    const mine = new WebSocket(socketAddress(`${API}/experiments/${encodeURIComponent(id)}/stream?${query}`), "kanad.v1.json");
    socket = mine;
    mine.onopen = () => (line.value = "live");
    mine.onmessage = (message) => {
      if (mine !== socket) return;
      pause.reset();
      const body = JSON.parse(message.data as string) as Event | Event[];
      if (!take(Array.isArray(body) ? body : [body])) mine.close();
    };
    mine.onclose = (close) => {
      if (stopped || mine !== socket) return;
      if (close.code === ENDED || REFUSED.has(close.code)) {
        line.value = "live";
        stopped = true;
        ended(close.code);
      } else again();
    };
  }

  function again(): void {
    if (stopped) return;
    line.value = "reconnecting";
    timer = window.setTimeout(() => void open(), pause.next());
  }

  void open();
  return () => {
    stopped = true;
    window.clearTimeout(timer);
    socket?.close();
    if (line.peek() === "reconnecting") line.value = "live";
  };
}

const POLL_MS = 1_000;
const NEWEST = 50;

/** Tell of every change among the newest experiments and those in `watched()`. */
export function watch(change: (experiments: Experiment[]) => void, watched: () => string[] = () => []): () => void {
  const pause = waits();
  const abort = new AbortController();
  let timer = 0;

  async function look(): Promise<void> {
    let wait = POLL_MS;
    try {
      const page = await get<{ items: Experiment[] }>(`experiments?limit=${NEWEST}`, abort.signal);
      const seen = new Set(page.items.map((item) => item.id));
      const others = watched().filter((id) => !seen.has(id)).slice(0, NEWEST);
      const more = await Promise.all(others.map((id) => get<Experiment>(`experiments/${id}`, abort.signal)));
      line.value = "live";
      pause.reset();
      change([...page.items, ...more]);
    } catch (error) {
      if (isAbort(error)) return;
      line.value = "reconnecting";
      wait = pause.next();
    }
    timer = window.setTimeout(() => void look(), document.hidden ? 5 * wait : wait);
  }

  void look();
  return () => {
    abort.abort();
    window.clearTimeout(timer);
  };
}
