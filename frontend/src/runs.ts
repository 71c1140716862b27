// The list of runs: pages of it as they are needed, and what changes in it.

import { signal } from "@preact/signals";
import { get, isAbort } from "./api";
import { TERMINAL, type Event, type Experiment, type Summary } from "./types";

export interface Wanted {
  status: string;
  method: string;
  tag: string;
  campaign: string;
  q: string;
  sort: string;
}

const PAGE = 200;

export const rows = signal<Experiment[]>([]);
export const loading = signal(false);
export const failure = signal<unknown>(null);
/** Whether there is more to fetch behind the last row. */
export const more = signal(false);

let wanted: Wanted = { status: "", method: "", tag: "", campaign: "", q: "", sort: "-created_at" };
let cursor: string | null = null;
let abort = new AbortController();

interface Page {
  items: Experiment[];
  next_cursor: string | null;
}

function page(at: string | null, signal: AbortSignal): Promise<Page> {
  const parameters = new URLSearchParams({ limit: String(PAGE) });
  for (const [name, value] of Object.entries(wanted)) if (value) parameters.set(name, value);
  if (at) parameters.set("cursor", at);
  return get<Page>(`experiments?${parameters}`, signal);
}

/** Begin again with other filters. The rows that are shown stay until the new ones are here. */
export function load(next: Wanted): void {
  abort.abort();
  abort = new AbortController();
  wanted = next;
  cursor = null;
  unknown = new Set();
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
    const { items, next_cursor } = await page(fresh ? null : cursor, mine.signal);
    if (mine !== abort) return;
    const known = new Set(fresh ? [] : rows.peek().map((row) => row.id));
    rows.value = fresh ? items : [...rows.peek(), ...items.filter((item) => !known.has(item.id))];
    cursor = next_cursor;
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
    (!filter.campaign || experiment.campaign === filter.campaign) &&
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

/** A row as a summary tells of it; the same row where the summary is not newer. */
export function renewed(row: Experiment, news: Summary): Experiment {
  if (news.last_seq < row.last_seq) return row;
  if (news.last_seq === row.last_seq && news.cancel_requested === row.cancel_requested) return row;
  const { status, attempt, progress, energy_hartree, error, last_seq, started_at, finished_at, cancel_requested } = news;
  const queue_position = status === "queued" ? row.queue_position : null;
  return { ...row, status, attempt, progress, energy_hartree, error, last_seq, started_at, finished_at, cancel_requested, queue_position };
}

/** Lay whole experiments into rows: known ones change in place, new ones that fit the filter come in where they belong. */
export function merged(present: Experiment[], found: Experiment[], filter: Wanted): Experiment[] {
  const changes = new Map(found.map((item) => [item.id, item]));
  const next: Experiment[] = [];
  for (const row of present) {
    const item = changes.get(row.id) ?? row;
    changes.delete(row.id);
    // What was asked for may be older than what the line has told since.
    const newer = item.last_seq < row.last_seq ? row : item;
    if (matches(newer, filter)) next.push(newer);
  }
  const fresh = [...changes.values()].filter((item) => matches(item, filter));
  return fresh.length ? [...next, ...fresh].sort(compare(filter.sort)) : next;
}

// What the live line says

const FEW = 8;
const PAUSE_MS = 400;
const MOST_PAGES = 10;
let unknown = new Set<string>();
let looking = 0;

/** Take summaries of what has changed. Experiments that are not in the list yet are asked for. */
export function take(news: Summary[]): void {
  const changes = new Map(news.map((item) => [item.experiment_id, item]));
  let changed = false;
  const next: Experiment[] = [];
  for (const row of rows.peek()) {
    const item = changes.get(row.id);
    changes.delete(row.id);
    const now = item ? renewed(row, item) : row;
    if (now !== row) {
      changed = true;
      remember(now);
    }
    if (now === row || matches(now, wanted)) next.push(now);
  }
  if (changed) rows.value = next;
  for (const item of changes.values()) if (mayMatch(item)) unknown.add(item.experiment_id);
  if (unknown.size || changed) looking ||= window.setTimeout(() => void lookUp(), PAUSE_MS);
}

const mayMatch = (item: Summary): boolean =>
  (!wanted.status || item.status === wanted.status) &&
  (!wanted.method || item.method === wanted.method) &&
  (!wanted.tag || item.tags.includes(wanted.tag)) &&
  (!wanted.q || item.name.toLowerCase().includes(wanted.q.toLowerCase()) || item.experiment_id === wanted.q);

/** Fetch what the line named but did not describe: few one by one, many as the list has them; and places in the line. */
async function lookUp(): Promise<void> {
  const mine = abort;
  const ids = [...unknown];
  unknown = new Set();
  try {
    if (ids.length > FEW) await catchUp(MOST_PAGES);
    else if (ids.length) {
      const found = await Promise.all(ids.map((id) => get<Experiment>(`experiments/${id}`, mine.signal)));
      if (mine === abort) lay(found);
    }
    if (rows.peek().some((row) => row.status === "queued")) {
      const { items } = await get<Page>("experiments?status=queued&sort=created_at&limit=200", mine.signal);
      const places = new Map(items.map((item) => [item.id, item.queue_position]));
      rows.value = rows.peek().map((row) => (row.status === "queued" && places.has(row.id) && places.get(row.id) !== row.queue_position ? { ...row, queue_position: places.get(row.id)! } : row));
    }
  } catch {
    // The line comes back, or the next change asks again.
  }
  looking = 0;
  if (unknown.size) looking = window.setTimeout(() => void lookUp(), PAUSE_MS);
}

function lay(found: Experiment[]): void {
  const present = rows.peek();
  const last = present[present.length - 1];
  const order = compare(wanted.sort);
  // What belongs behind the last row comes with its page.
  const here = more.peek() && last ? found.filter((item) => order(item, last) < 0 || present.some((row) => row.id === item.id)) : found;
  rows.value = merged(present, here, wanted);
}

/** Read the list again, after a lost line as far as it was read; after a flood of new experiments, `most` pages of it. */
export async function catchUp(most = Infinity): Promise<void> {
  const mine = abort;
  const found: Experiment[] = [];
  let next: string | null = null;
  for (let pages = 0; pages < most; pages++) {
    const { items, next_cursor }: Page = await page(next, mine.signal);
    if (mine !== abort) return;
    found.push(...items);
    next = next_cursor;
    if (next === null || found.length >= rows.peek().length) {
      const told = new Map(rows.peek().map((row) => [row.id, row]));
      rows.value = found.map((item) => ((told.get(item.id)?.last_seq ?? 0) > item.last_seq ? told.get(item.id)! : item));
      cursor = next;
      more.value = next !== null;
      return;
    }
  }
  lay(found);
}

// Courses of energy for the small drawings, and the Hartree-Fock energy to compare with.

export interface Course {
  energies: number[];
  hf: number | null;
}

export const courses = signal<ReadonlyMap<string, Course>>(new Map());
const asked = new Set<string>();
const waiting: Experiment[] = [];
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

const askedAs = (row: Experiment): string => `${row.id} ${row.attempt} ${TERMINAL.has(row.status)}`;

/** Fetch the courses of runs that are in view: of one that runs as far as it is, of each attempt when it has ended; two at a time. */
export function wantCourses(visible: Experiment[]): void {
  waiting.length = 0;
  for (const row of visible) if (row.status !== "queued" && !asked.has(askedAs(row))) waiting.push(row);
  while (busy < 2 && waiting.length) void fetchCourse();
}

async function fetchCourse(): Promise<void> {
  const row = waiting.shift();
  if (row === undefined) return;
  asked.add(askedAs(row));
  busy += 1;
  try {
    keep(row.id, courseOf((await get<{ items: Event[] }>(`experiments/${row.id}/events?limit=500`)).items));
  } catch {
    asked.delete(askedAs(row));
  }
  busy -= 1;
  await fetchCourse();
}

/** The course of the method's own series, and the energy of the mean field under it; of a scan, its curve. */
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
  const points = events.flatMap((event) => (event.type === "point" ? [event.energy_hartree] : []));
  if (points.length > 1) return { energies: points, hf: null };
  const own = [...series.keys()].filter((name) => name !== "scf").pop();
  return { energies: series.get(own ?? "scf") ?? [], hf: own === undefined ? null : hf };
}
