// Live lines to the server. This is the only module that knows how updates arrive.

import { signal } from "@preact/signals";
import { API, Problem, ticket } from "./api";
import type { CampaignNews, Event, Summary } from "./types";

export type Line = "none" | "live" | "reconnecting";
/** How the page's line to the server is; shown in the header. */
export const line = signal<Line>("none");

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

const socketAddress = (path: string): string => `${window.location.protocol === "https:" ? "wss" : "ws"}://${window.location.host}${API}/${path}`;

const ENDED = 1000;
const REFUSED: ReadonlySet<number> = new Set([4400, 4401, 4403, 4404]);
const PING_MS = 8_000;
const SILENT_MS = 20_000;

interface Ends<T> {
  /** What came, in order; false when something is missing: then the line is opened anew. */
  take: (items: T[]) => boolean | void;
  /** To be said whenever the line is open. */
  greeting?: object;
  /** Whether the other end answers pings: a dead line is found by its silence. */
  answersPings?: boolean;
  /** The server has closed it for good. */
  over: (code: number) => void;
}

/** Keep a line open to `path()`, asked anew each time, over lost lines and restarts; returns what ends it. */
function hold<T>(path: () => string, { take, greeting, answersPings, over }: Ends<T>): () => void {
  const pause = waits();
  let socket: WebSocket | null = null;
  let timer = 0;
  let heart = 0;
  let stopped = false;

  async function open(): Promise<void> {
    let pass: string | null;
    try {
      pass = await ticket();
    } catch (error) {
      if (!(error instanceof Problem && error.status === 401)) again();
      return;
    }
    if (stopped) return;
    const where = path();
    const mine = new WebSocket(socketAddress(pass === null ? where : `${where}${where.includes("?") ? "&" : "?"}ticket=${encodeURIComponent(pass)}`), "kanad.v1.json");
    let heard = Date.now();
    socket = mine;
    mine.onopen = () => {
      line.value = "live";
      if (greeting) mine.send(JSON.stringify(greeting));
      if (answersPings)
        heart = window.setInterval(() => {
          if (Date.now() - heard > SILENT_MS) lose(mine);
          else mine.send('{"op":"ping"}');
        }, PING_MS);
    };
    mine.onmessage = (message) => {
      if (mine !== socket) return;
      heard = Date.now();
      pause.reset();
      const body = JSON.parse(message.data as string) as T | T[];
      if (take(Array.isArray(body) ? body : [body]) === false) lose(mine);
    };
    mine.onclose = ({ code }) => {
      if (stopped || mine !== socket) return;
      if (code === ENDED || REFUSED.has(code)) {
        stop();
        over(code);
      } else again();
    };
  }

  /** Give a line up without waiting for its end: a dead one may not close for minutes. */
  function lose(mine: WebSocket): void {
    if (mine !== socket) return;
    again();
    mine.close();
  }

  function again(): void {
    if (stopped) return;
    socket = null;
    window.clearInterval(heart);
    line.value = "reconnecting";
    timer = window.setTimeout(() => void open(), pause.next());
  }

  function stop(): void {
    stopped = true;
    window.clearTimeout(timer);
    window.clearInterval(heart);
    socket?.close();
    line.value = "none";
  }

  void open();
  return stop;
}

/**
 * Follow a run from behind event `after()` on, over lost lines and restarts, until it has ended.
 * `take` gets each batch and says false where a number is missing; then the line is opened again from `after()`.
 */
export function follow(id: string, after: () => number, take: (events: Event[]) => boolean, ended: (code: number) => void): () => void {
  return hold<Event>(() => `experiments/${encodeURIComponent(id)}/stream?after=${after()}`, { take, over: ended });
}

type Told = { type: "watching" | "pong" | "error" } | Summary;

/**
 * Tell of every experiment that changes, as summaries of its latest state. `begun` is called whenever the watch has begun,
 * also after a lost line: what changed before has to be asked for.
 */
export function watch(change: (summaries: Summary[]) => void, begun: () => void): () => void {
  return hold<Told>(() => "stream", {
    greeting: { op: "watch", status: "*" },
    answersPings: true,
    take: (items) => {
      const summaries = items.filter((item): item is Summary => item.type === "summary");
      if (summaries.length) change(summaries);
      if (items.some((item) => item.type === "watching")) begun();
    },
    over: () => undefined,
  });
}

/** Follow a campaign: all of it, then what changes, until all its experiments have ended. */
export function followCampaign(id: string, take: (news: CampaignNews[]) => void, ended: (code: number) => void): () => void {
  return hold<CampaignNews>(() => `campaigns/${encodeURIComponent(id)}/stream`, { take, over: ended });
}
