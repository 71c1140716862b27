// All runs: a live table, its filters in the URL.

import { signal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { constant, post, serverNow, wordsOf } from "../api";
import { watch } from "../live";
import { navigate, place, setQuery } from "../router";
import * as runs from "../runs";
import { methodText, moleculeText, titleOf } from "../spec";
import type { Experiment, Methods, StatusName } from "../types";
import { duration, energy, known, milli, moment, secondsBetween } from "../units";
import { Status } from "../ui/icons";
import { attempt, Heading, useFetched, useTicking, useTitle } from "../ui/parts";
import { useNarrow, useWindowRows } from "../ui/virtual";

const STATES: StatusName[] = ["queued", "running", "completed", "failed", "cancelled"];
const SORTS: [string, string][] = [
  ["-created_at", "Newest first"],
  ["created_at", "Oldest first"],
  ["-finished_at", "Last finished"],
  ["energy_hartree", "Lowest energy"],
  ["-energy_hartree", "Highest energy"],
  ["name", "Name, A to Z"],
  ["-name", "Name, Z to A"],
];

const picked = signal<ReadonlySet<string>>(new Set());

function pick(id: string, on: boolean): void {
  const next = new Set(picked.peek());
  if (on) next.add(id);
  else next.delete(id);
  picked.value = next;
}

function wantedNow(): runs.Wanted {
  const query = place.value.query;
  const value = (name: string) => query.get(name) ?? "";
  return { status: value("status"), method: value("method"), tag: value("tag"), campaign: value("campaign"), q: value("q"), sort: value("sort") || "-created_at" };
}

export async function runH2(): Promise<void> {
  const spec = { name: "H₂, Hartree–Fock", molecule: { library: "H2" }, method: { name: "hf" }, fresh: true };
  navigate(`/runs/${(await post<Experiment>("experiments", spec)).id}`);
}

export function Runs() {
  useTitle("Runs");
  const wanted = wantedNow();
  const key = JSON.stringify(wanted);
  useEffect(() => runs.load(wanted), [key]);
  useEffect(() => watch(runs.take, () => void runs.catchUp().catch(() => undefined)), []);
  const filtered = Boolean(wanted.status || wanted.method || wanted.tag || wanted.campaign || wanted.q);
  const rows = runs.rows.value;
  const nothing = !rows.length && !runs.loading.value && !runs.failure.value;
  return (
    <>
      <div class="head">
        <Heading>Runs</Heading>
        <a class="button primary" href="/new">
          New run
        </a>
      </div>
      {nothing && !filtered ? <Empty /> : <Filters wanted={wanted} />}
      {runs.failure.value ? (
        <div class="box failed" role="alert">
          {wordsOf(runs.failure.value)}
        </div>
      ) : null}
      {nothing && filtered ? (
        <div class="empty">
          <p>No run fits these filters.</p>
          <button type="button" class="button" onClick={() => navigate("/")}>
            Show all runs
          </button>
        </div>
      ) : null}
      {rows.length ? <Table rows={rows} sort={wanted.sort} /> : runs.loading.value ? <p class="muted">Loading runs …</p> : null}
      <Selection />
    </>
  );
}

function Empty() {
  return (
    <div class="empty">
      <svg class="drawing" viewBox="0 0 200 90" aria-hidden="true">
        <path d="M10 5v75h180" />
        <path class="course" d="M18 14c14 44 30 54 60 57s70 3 108 3" />
        <path d="M10 76h180" stroke-dasharray="3 4" />
      </svg>
      <h2>Nothing has run here yet</h2>
      <p>Build a molecule, choose a method, press Run, and watch the energy converge. Every step is kept, and so is every result.</p>
      <div class="actions">
        <button type="button" class="button primary" onClick={() => void attempt(runH2)}>
          Run H₂ now
        </button>
        <a class="button" href="/new">
          Build a molecule
        </a>
      </div>
    </div>
  );
}

function Filters({ wanted }: { wanted: runs.Wanted }) {
  const methods = useFetched(() => constant<Methods>("methods"), []).value?.methods ?? [];
  const timer = useRef(0);
  function search(text: string): void {
    window.clearTimeout(timer.current);
    timer.current = window.setTimeout(() => setQuery({ q: text }), 200);
  }
  return (
    <div class="filters" role="search">
      <div class="chips" role="group" aria-label="State">
        <button type="button" class="chip" aria-pressed={!wanted.status} onClick={() => setQuery({ status: null })}>
          All
        </button>
        {STATES.map((state) => (
          <button type="button" class="chip" key={state} aria-pressed={wanted.status === state} onClick={() => setQuery({ status: state })}>
            {state.charAt(0).toUpperCase() + state.slice(1)}
          </button>
        ))}
      </div>
      {wanted.tag ? (
        <button type="button" class="chip" aria-pressed="true" onClick={() => setQuery({ tag: null })}>
          Tag: {wanted.tag} ✕
        </button>
      ) : null}
      {wanted.campaign ? (
        <button type="button" class="chip" aria-pressed="true" onClick={() => setQuery({ campaign: null })}>
          One campaign ✕
        </button>
      ) : null}
      <div class="right">
        <input type="search" aria-label="Search by name" placeholder="Search by name" value={wanted.q} onInput={(event) => search(event.currentTarget.value)} />
        <select aria-label="Method" value={wanted.method} onChange={(event) => setQuery({ method: event.currentTarget.value })}>
          <option value="">All methods</option>
          {methods.map((method) => (
            <option key={method.name} value={method.name}>
              {known(method.name)}
            </option>
          ))}
        </select>
        <select aria-label="Order" value={wanted.sort} onChange={(event) => setQuery({ sort: event.currentTarget.value })}>
          {SORTS.map(([value, text]) => (
            <option key={value} value={value}>
              {text}
            </option>
          ))}
        </select>
      </div>
    </div>
  );
}

const AHEAD = 60;

function Table({ rows, sort }: { rows: Experiment[]; sort: string }) {
  const height = useNarrow() ? 66 : 46;
  const { box, view } = useWindowRows(rows.length, height);
  const visible = useMemo(() => rows.slice(view.first, view.last), [rows, view]);
  useTicking(visible.some((row) => row.status === "running"));
  useEffect(() => {
    if (view.last > rows.length - AHEAD) runs.loadMore();
  }, [view.last, rows.length]);
  // Rows that change while others run are no reason to wait anew; scrolling is.
  const states = visible.map((row) => `${row.id} ${row.attempt} ${row.status}`).join();
  useEffect(() => {
    const timer = window.setTimeout(() => runs.wantCourses(visible), 150);
    return () => window.clearTimeout(timer);
  }, [states]);

  function onKeyDown(event: KeyboardEvent): void {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const here = (event.target as HTMLElement).closest<HTMLElement>("[data-at]");
    if (!step || !here || (event.target as HTMLElement).tagName === "INPUT") return;
    event.preventDefault();
    const to = box.current?.querySelector<HTMLElement>(`[data-at="${Number(here.dataset["at"]) + step}"] .name`);
    to?.focus();
  }

  return (
    <div class="rows" role="table" aria-label="Runs" aria-rowcount={runs.more.value ? -1 : rows.length + 1}>
      <div role="rowgroup">
        <div class="row header" role="row">
          <span role="columnheader">
            <span class="visually-hidden">Chosen</span>
          </span>
          <span role="columnheader">State</span>
          <Sorted name="name" text="Name" sort={sort} />
          <span role="columnheader">Method</span>
          <Sorted name="energy_hartree" text="Energy" unit="Eh" sort={sort} right />
          <span role="columnheader" class="right c-delta">
            vs HF<span class="unit">mEh</span>
          </span>
          <span role="columnheader" class="c-spark">
            Course
          </span>
          <span role="columnheader" class="right c-time">
            Time
          </span>
          <Sorted name="created_at" text="Posted" sort={sort} right extra="c-when" />
        </div>
      </div>
      <div class="window" role="rowgroup" ref={box} style={{ height: `${rows.length * height}px` }} onKeyDown={onKeyDown}>
        {visible.map((row, index) => (
          <Row key={row.id} row={row} at={view.first + index} height={height} />
        ))}
      </div>
    </div>
  );
}

function Sorted(props: { name: string; text: string; unit?: string; sort: string; right?: boolean; extra?: string }) {
  const { name, sort } = props;
  const direction = sort === name ? "ascending" : sort === `-${name}` ? "descending" : "none";
  const sign = { ascending: " ↑", descending: " ↓", none: "" }[direction];
  const next = direction === "none" ? (name === "created_at" ? `-${name}` : name) : direction === "ascending" ? `-${name}` : name;
  return (
    <span role="columnheader" aria-sort={direction} class={`${props.right ? "right " : ""}${props.extra ?? ""}`}>
      <button type="button" onClick={() => setQuery({ sort: next })}>
        {props.text}
        {props.unit ? <span class="unit">{props.unit}</span> : null}
        {sign}
      </button>
    </span>
  );
}

function Row({ row, at, height }: { row: Experiment; at: number; height: number }) {
  const isPicked = picked.value.has(row.id);
  const course = runs.courses.value.get(row.id);
  const shown = row.energy_hartree ?? row.progress.energy_hartree;
  const hf = course?.hf ?? null;
  return (
    <div
      class={isPicked ? "row picked" : "row"}
      role="row"
      aria-rowindex={at + 2}
      data-at={at}
      data-id={row.id}
      style={{ top: `${at * height}px` }}
    >
      <span class="pick" role="cell">
        <label>
          <input type="checkbox" aria-label={`Choose ${titleOf(row)}`} checked={isPicked} onChange={(event) => pick(row.id, event.currentTarget.checked)} />
        </label>
      </span>
      <span role="cell" class="c-status">
        <Status status={row.status} detail={detailOf(row)} />
      </span>
      <span role="cell" class="c-name">
        <a class="name" href={`/runs/${row.id}`}>
          {titleOf(row)}
        </a>
        {row.tags.slice(0, 2).map((tag) => (
          <button type="button" class="tag" key={tag} onClick={() => setQuery({ tag })}>
            {tag}
          </button>
        ))}
      </span>
      <span role="cell" class="c-method method">
        {row.name ? <span>{moleculeText(row.spec.molecule)} · </span> : null}
        {methodText(row.spec)}
      </span>
      <span role="cell" class={`num right c-energy${row.energy_hartree === null ? " muted" : ""}`}>
        {energy(shown)}
      </span>
      <span role="cell" class="num right c-delta">
        {row.status === "completed" && hf !== null && row.energy_hartree !== null ? milli(row.energy_hartree - hf) : "–"}
      </span>
      <span role="cell" class="c-spark">
        <Spark energies={course?.energies ?? []} />
      </span>
      <span role="cell" class="num right c-time">
        {timeOf(row)}
      </span>
      <span role="cell" class="num right c-when muted" title={moment(row.created_at)}>
        {agoOf(row.created_at)}
      </span>
    </div>
  );
}

function detailOf(row: Experiment): string | undefined {
  if (row.status === "queued" && row.queue_position) return `#${row.queue_position}`;
  if (row.status === "running" && row.progress.percent > 0) return `${Math.floor(row.progress.percent)}%`;
  return undefined;
}

function timeOf(row: Experiment): string {
  if (!row.started_at) return "–";
  return duration(row.finished_at ? secondsBetween(row.started_at, row.finished_at) : (serverNow() - Date.parse(row.started_at)) / 1000);
}

function agoOf(time: string): string {
  const seconds = (serverNow() - Date.parse(time)) / 1000;
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return moment(time).slice(0, 10);
}

/** The course of the energy, from high to low. */
function Spark({ energies }: { energies: number[] }) {
  const path = useMemo(() => sparkPath(energies, 88, 24), [energies]);
  if (path === null) return null;
  return (
    <svg class="spark" viewBox="0 0 88 24" aria-hidden="true">
      <path d={path} />
    </svg>
  );
}

/** Falls are steep at first: the height is that of the logarithm of what is left to fall. */
export function sparkPath(energies: number[], width: number, height: number): string | null {
  if (energies.length < 2) return null;
  const low = Math.min(...energies);
  const range = Math.max(...energies) - low || 1;
  const level = (value: number) => Math.log1p(((value - low) / range) * 50) / Math.log1p(50);
  const step = width / (energies.length - 1);
  return energies.map((value, index) => `${index ? "L" : "M"}${(index * step).toFixed(1)} ${(height - 2 - level(value) * (height - 4)).toFixed(1)}`).join("");
}

function Selection() {
  const ids = [...picked.value];
  if (!ids.length) return null;
  return (
    <div class="selection" role="region" aria-label="Chosen runs">
      <span>{ids.length === 1 ? "1 run chosen" : `${ids.length} runs chosen`}</span>
      <div class="actions">
        <button type="button" class="button primary" disabled={ids.length < 2} onClick={() => navigate(`/compare?ids=${ids.join(",")}`)}>
          Compare
        </button>
        <button type="button" class="button quiet" onClick={() => (picked.value = new Set())}>
          Clear
        </button>
      </div>
    </div>
  );
}
