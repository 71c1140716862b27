// The list of runs: pages of it as they are needed, and what changes in it.

import { signal } from "@preact/signals";
import { get, isAbort } from "./api";
import { TERMINAL, type Event, type Experiment } from "./types";

export interface Wanted {
  status: string;
  method: string;
  tag: string;
  q: string;
  sort: string;
}

const PAGE = 200;

export const rows = signal<Experiment[]>([]);
export const loading = signal(false);
export const failure = signal<unknown>(null);
/** Whether there is more to fetch behind the last row. */
export const more = signal(false);

let wanted: Wanted = { status: "", method: "", tag: "", q: "", sort: "-created_at" };
let cursor: string | null = null;
let abort = new AbortController();

function query(): string {
  const parameters = new URLSearchParams({ limit: String(PAGE) });
  for (const [name, value] of Object.entries(wanted)) if (value) parameters.set(name, value);
  if (cursor) parameters.set("cursor", cursor);
  return parameters.toString();
}

/** Begin again with other filters. The rows that are shown stay until the new ones are here. */
export function load(next: Wanted): void {
  abort.abort();
  abort = new AbortController();
  wanted = next;
  cursor = null;
  loading.value = false;
  void fetchPage(true);
}

/** The next page, if there is one and none is on its way. */
export function loadMore(): void {
  if (more.peek() && !loading.peek()) void fetchPage(false);
}

async function fetchPage(fresh: boolean): Promise<void> {
  loading.value = true;
  const mine = abort;
  try {
    const page = await get<{ items: Experiment[]; next_cursor: string | null }>(`experiments?${query()}`, mine.signal);
    if (mine !== abort) return;
    const known = new Set(fresh ? [] : rows.peek().map((row) => row.id));
    rows.value = fresh ? page.items : [...rows.peek(), ...page.items.filter((item) => !known.has(item.id))];
    cursor = page.next_cursor;
    more.value = cursor !== null;
    failure.value = null;
  } catch (error) {
    if (isAbort(error) || mine !== abort) return;
    failure.value = error;
  }
  loading.value = false;
}

export function matches(experiment: Experiment, filter: Wanted): boolean {
  return (
    (!filter.status || experiment.status === filter.status) &&
    (!filter.method || experiment.spec.method.name === filter.method) &&
    (!filter.tag || experiment.tags.includes(filter.tag)) &&
    (!filter.q || experiment.name.toLowerCase().includes(filter.q.toLowerCase()) || experiment.id === filter.q)
  );
}

const KEYS: Record<string, (row: Experiment) => string | number | null> = {
  created_at: (row) => row.created_at,
  finished_at: (row) => row.finished_at,
  energy_hartree: (row) => row.energy_hartree,
  name: (row) => row.name,
};

/** Rows in the order that the server has them in; those without a value come last. */
export function compare(sort: string): (a: Experiment, b: Experiment) => number {
  const key = KEYS[sort.replace("-", "")] ?? KEYS["created_at"]!;
  const sign = sort.startsWith("-") ? -1 : 1;
  return (a, b) => {
    const [left, right] = [key(a), key(b)];
    if (left === right) return a.id < b.id ? -sign : sign;
    if (left === null) return 1;
    if (right === null) return -1;
    return left < right ? -sign : sign;
  };
}

/** Lay news into rows: known ones change in place, new ones that fit the filter come in where they belong. */
export function merged(present: Experiment[], news: Experiment[], filter: Wanted): Experiment[] {
  const changes = new Map(news.map((item) => [item.id, item]));
  let changed = false;
  const next: Experiment[] = [];
  for (const row of present) {
    const item = changes.get(row.id);
    changes.delete(row.id);
    if (item === undefined || isSame(row, item)) next.push(row);
    else {
      changed = true;
      if (matches(item, filter)) next.push(item);
    }
  }
  const fresh = [...changes.values()].filter((item) => matches(item, filter));
  if (!fresh.length) return changed ? next : present;
  return [...next, ...fresh].sort(compare(filter.sort));
}

function isSame(a: Experiment, b: Experiment): boolean {
  return a.last_seq === b.last_seq && a.status === b.status && a.queue_position === b.queue_position && a.cancel_requested === b.cancel_requested;
}

/** Take what the live line says. */
export function take(news: Experiment[]): void {
  for (const item of news) remember(item);
  const last = rows.peek()[rows.peek().length - 1];
  const order = compare(wanted.sort);
  // What belongs behind the last row comes with its page.
  const here = more.peek() && last ? news.filter((item) => order(item, last) < 0 || rows.peek().some((row) => row.id === item.id)) : news;
  rows.value = merged(rows.peek(), here, wanted);
}

// Courses of energy for the small drawings, and the Hartree-Fock energy to compare with.

export interface Course {
  energies: number[];
  hf: number | null;
}

export const courses = signal<ReadonlyMap<string, Course>>(new Map());
const asked = new Set<string>();
const waiting: string[] = [];
let busy = 0;

function keep(id: string, course: Course): void {
  courses.value = new Map(courses.peek()).set(id, course);
}

/** A running run draws its course from what the live line says. */
function remember(item: Experiment): void {
  if (item.status !== "running" || item.progress.energy_hartree === null) return;
  const course = courses.peek().get(item.id) ?? { energies: [], hf: null };
  if (course.energies[course.energies.length - 1] === item.progress.energy_hartree) return;
  keep(item.id, { ...course, energies: [...course.energies.slice(-79), item.progress.energy_hartree] });
}

/** Fetch the courses of ended runs that are in view; two at a time, each once. */
export function wantCourses(visible: Experiment[]): void {
  waiting.length = 0;
  for (const row of visible) if (TERMINAL.has(row.status) && !asked.has(row.id)) waiting.push(row.id);
  while (busy < 2 && waiting.length) void fetchCourse();
}

async function fetchCourse(): Promise<void> {
  const id = waiting.shift();
  if (id === undefined) return;
  asked.add(id);
  busy += 1;
  try {
    keep(id, courseOf((await get<{ items: Event[] }>(`experiments/${id}/events?limit=500`)).items));
  } catch {
    asked.delete(id);
  }
  busy -= 1;
  await fetchCourse();
}

/** The course of the method's own series, and the energy of the mean field under it. */
export function courseOf(events: Event[]): Course {
  const series = new Map<string, number[]>();
  let hf: number | null = null;
  for (const event of events) {
    if (event.type === "convergence") {
      const energies = series.get(event.series);
      if (energies) energies.push(event.energy_hartree);
      else series.set(event.series, [event.energy_hartree]);
    }
    if (event.type === "stage" && event.message === "HF reference computed") hf = event.energy_hartree;
  }
  const own = [...series.keys()].filter((name) => name !== "scf").pop();
  return { energies: series.get(own ?? "scf") ?? [], hf: own === undefined ? null : hf };
}
