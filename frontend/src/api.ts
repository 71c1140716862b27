// Calls to the server, and what it answers.

import { signal } from "@preact/signals";
import type { FieldError } from "./types";

export const API = "/api/v1";

/** The server asked who we are; the sign-in panel is shown while this is true. */
export const signInNeeded = signal(false);

const TOKEN = "kanad.token";
export const token = signal<string | null>(sessionStorage.getItem(TOKEN));

export function setToken(value: string | null): void {
  if (value === null) sessionStorage.removeItem(TOKEN);
  else sessionStorage.setItem(TOKEN, value);
  token.value = value;
  signInNeeded.value = false;
}

/** A refusal of the server: a problem document, or no answer at all (status 0). */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly errors: FieldError[] = [],
    readonly details: Record<string, unknown> = {},
  ) {
    super(message);
  }
}

/** How far the server's clock is ahead of ours, in ms: times on these pages are the server's. */
let ahead: number | null = null;
export const serverNow = (): number => Date.now() + (ahead ?? 0);

function learnClock(response: Response): void {
  const date = Date.parse(response.headers.get("date") ?? "");
  if (Number.isNaN(date)) return;
  // The header has whole seconds: the truth is up to one second later. Small differences are its rounding, not a wrong clock.
  const seen = date + 500 - Date.now();
  ahead = Math.abs(seen) < 1500 ? 0 : seen;
}

export function headers(more: Record<string, string> = {}): Record<string, string> {
  return token.peek() === null ? more : { ...more, Authorization: `Bearer ${token.peek()}` };
}

async function ask(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<Response> {
  const request: RequestInit = { method, headers: headers(body === undefined ? {} : { "Content-Type": "application/json" }) };
  if (body !== undefined) request.body = JSON.stringify(body);
  if (signal) request.signal = signal;
  let response: Response;
  try {
    response = await fetch(path.startsWith("/") ? path : `${API}/${path}`, request);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Problem(0, "no_answer", "The server does not answer. Is it running?");
  }
  learnClock(response);
  if (response.ok) return response;
  if (response.status === 401) signInNeeded.value = true;
  throw await problemOf(response);
}

async function problemOf(response: Response): Promise<Problem> {
  try {
    const body = await response.json();
    return new Problem(response.status, body.code, body.detail ?? body.title, body.errors ?? [], body.details ?? {});
  } catch {
    return new Problem(response.status, "unexpected", `The server answered ${response.status}.`);
  }
}

/** GET something as JSON. */
export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await (await ask("GET", path, undefined, signal)).json()) as T;
}

/** POST something as JSON. */
export async function post<T>(path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  return (await (await ask("POST", path, body, signal)).json()) as T;
}

/** PATCH something with JSON. */
export async function patch<T>(path: string, body: unknown): Promise<T> {
  return (await (await ask("PATCH", path, body)).json()) as T;
}

export async function remove(path: string): Promise<void> {
  await ask("DELETE", path);
}

/** The bytes of a file. */
export async function bytes(path: string, signal?: AbortSignal): Promise<ArrayBuffer> {
  return (await ask("GET", path, undefined, signal)).arrayBuffer();
}

/** Whether an error is only that we stopped asking. */
export const isAbort = (error: unknown): boolean => error instanceof DOMException && error.name === "AbortError";

/** Words for any error. */
export const wordsOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

const once = new Map<string, Promise<unknown>>();

/** GET something that does not change while the server runs; asked for once. */
export function constant<T>(path: string): Promise<T> {
  let answer = once.get(path) as Promise<T> | undefined;
  if (answer === undefined) {
    answer = get<T>(path);
    once.set(path, answer);
    answer.catch(() => once.delete(path));
  }
  return answer;
}

/** A single-use ticket for a socket, where there are tokens. */
export async function ticket(): Promise<string | null> {
  if (token.peek() === null) return null;
  return (await post<{ ticket: string }>("tickets")).ticket;
}
