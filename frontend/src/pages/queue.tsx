// What runs now, and what waits: places, waits, priorities, cancel.

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { get, patch, post, serverNow } from "../api";
import { watch } from "../live";
import { methodText, moleculeText, titleOf, trimmed } from "../spec";
import type { Estimate, Experiment, Slot, Spec, SystemView } from "../types";
import { count, duration, durationRange, memory } from "../units";
import { numberOr } from "../ui/options";
import { attempt, Heading, say, useTicking, useTitle, Waiting } from "../ui/parts";
import { useNarrow, useWindowRows } from "../ui/virtual";
import { left, waitsOf, type Range } from "../waits";

const PAUSE_MS = 700;
/** What no event tells: processor time and memory of the slots. */
const LOOK_MS = 5_000;
const PAGE = 200;
const MOST_PAGES = 10;
/** Estimates are shown together with so many others. */
const SHOWN_AT_ONCE = 10;

interface Now {
  system: SystemView;
  running: Experiment[];
  waiting: Experiment[];
}

async function allQueued(signal: AbortSignal): Promise<Experiment[]> {
  const found: Experiment[] = [];
  let cursor: string | null = null;
  for (let pages = 0; pages < MOST_PAGES; pages++) {
    const page: { items: Experiment[]; next_cursor: string | null } = await get(`experiments?status=queued&sort=created_at&limit=${PAGE}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`, signal);
    found.push(...page.items);
    cursor = page.next_cursor;
    if (cursor === null) break;
  }
  return found.sort((a, b) => (a.queue_position ?? Infinity) - (b.queue_position ?? Infinity) || (a.id < b.id ? -1 : 1));
}

async function look(signal: AbortSignal): Promise<Now> {
  const [system, running, waiting] = await Promise.all([get<SystemView>("system", signal), get<{ items: Experiment[] }>(`experiments?status=running&limit=${PAGE}`, signal), allQueued(signal)]);
  return { system, running: running.items, waiting };
}

function useNow(): { now: Now | null; error: unknown; again: () => void } {
  const [now, setNow] = useState<Now | null>(null);
  const [error, setError] = useState<unknown>(null);
  const again = useRef(() => {});
  useEffect(() => {
    const abort = new AbortController();
    let due = 0;
    let busy = false;
    const go = async () => {
      due = 0;
      busy = true;
      try {
        setNow(await look(abort.signal));
        setError(null);
      } catch (problem) {
        if (!abort.signal.aborted) setError(problem);
      }
      busy = false;
    };
    const soon = (wait: number) => (due ||= window.setTimeout(() => (busy ? ((due = 0), soon(wait)) : void go()), wait));
    again.current = () => void soon(0);
    void go();
    const stop = watch(
      () => void soon(PAUSE_MS),
      () => void soon(PAUSE_MS),
    );
    const timer = window.setInterval(() => document.hidden || soon(0), LOOK_MS);
    return () => {
      abort.abort();
      stop();
      window.clearTimeout(due);
      window.clearInterval(timer);
    };
  }, []);
  return { now, error, again: () => again.current() };
}

const estimates = new Map<string, Range | null>();

/** The whole spec: of a long Hamiltonian a list has the beginning. */
const wholeSpec = async (one: Experiment, signal: AbortSignal): Promise<Spec> => (one.spec.molecule.fcidump ? (await get<Experiment>(`experiments/${one.id}`, signal)).spec : one.spec);

/** The estimates of some experiments, asked for one after the other, each once: the same spec costs the same. */
function useEstimates(experiments: Experiment[]): (experiment: Experiment) => Range | null {
  const [, setVersion] = useState(0);
  const wanted = useRef<Experiment[]>([]);
  const asking = useRef(false);
  const abort = useRef(new AbortController());
  wanted.current = experiments;
  const next = () => wanted.current.find((one) => !estimates.has(one.spec_hash));

  async function ask(signal: AbortSignal): Promise<void> {
    for (let one = next(), asked = 1; one && !signal.aborted; one = next(), asked++) {
      try {
        const { feasible, seconds } = await post<Estimate>("estimate", trimmed(await wholeSpec(one, signal)), signal);
        estimates.set(one.spec_hash, feasible ? seconds : null);
      } catch {
        if (!signal.aborted) estimates.set(one.spec_hash, null);
      }
      if (asked % SHOWN_AT_ONCE === 0) setVersion((before) => before + 1);
    }
    asking.current = false;
    if (!signal.aborted) setVersion((before) => before + 1);
  }

  useEffect(() => () => abort.current.abort(), []);
  useEffect(() => {
    if (asking.current || !next()) return;
    asking.current = true;
    void ask(abort.current.signal);
  });
  return (experiment) => estimates.get(experiment.spec_hash) ?? null;
}

export function Queue(_: { id: string }) {
  useTitle("Queue");
  const { now, error, again } = useNow();
  return (
    <>
      <div class="head">
        <Heading>Queue</Heading>
      </div>
      {!now || error ? <Waiting what="the queue" error={error} /> : null}
      {now ? <Both now={now} again={again} /> : null}
    </>
  );
}

/** Experiments that share a work have one place; its first one stands for it. */
function firstOfEach(waiting: Experiment[]): Experiment[] {
  const seen = new Set<number>();
  return waiting.filter(({ queue_position: place }) => place !== null && !seen.has(place) && seen.add(place));
}

function Both({ now: { system, running, waiting }, again }: { now: Now; again: () => void }) {
  // A wait needs the estimates of all before it: they are asked for as far down as the line is looked at.
  const [reach, setReach] = useState(0);
  const works = useMemo(() => firstOfEach(waiting.slice(0, reach)), [waiting, reach]);
  const estimateOf = useEstimates([...running, ...works]);
  useTicking(running.length > 0);
  const elapsed = (one: Experiment) => (one.started_at ? (serverNow() - Date.parse(one.started_at)) / 1000 : 0);
  const busy = system.slots.filter((slot) => slot.experiment_id !== null);
  const rest = busy.map((slot) => {
    const one = running.find((candidate) => candidate.id === slot.experiment_id);
    return one ? left(one.progress.eta_s === null ? estimateOf(one) : [one.progress.eta_s + elapsed(one), one.progress.eta_s + elapsed(one)], elapsed(one)) : null;
  });
  const waits = new Map(waitsOf(system.slots.length, rest, works.map(estimateOf)).map((wait, index) => [works[index]!.queue_position!, wait]));
  return (
    <>
      <section aria-label="Slots">
        <h2>Slots</h2>
        <div class="cards slots">
          {system.slots.map((slot) => (
            <SlotCard key={slot.name} slot={slot} experiment={running.find((one) => one.id === slot.experiment_id) ?? null} elapsed={elapsed} />
          ))}
        </div>
      </section>
      <section aria-label="Waiting" style={{ marginTop: "2rem" }}>
        <h2>Waiting{system.queue_length ? `: ${count(system.queue_length)}` : ""}</h2>
        {waiting.length ? <Line waiting={waiting} waits={waits} again={again} reached={(row) => setReach((before) => Math.max(before, row))} /> : <p class="muted">Nothing waits.</p>}
        {waiting.length >= PAGE * MOST_PAGES ? <p class="small muted">The oldest {count(waiting.length)} are shown.</p> : null}
      </section>
    </>
  );
}

function SlotCard({ slot, experiment, elapsed }: { slot: Slot; experiment: Experiment | null; elapsed: (one: Experiment) => number }) {
  const figures = [slot.pid === null ? null : `pid ${slot.pid}`, slot.cpu_s === null ? null : `${duration(slot.cpu_s)} of CPU`, slot.memory_mb === null ? null : memory(slot.memory_mb)].filter((figure) => figure !== null);
  return (
    <article class="panel card">
      <span class="small muted">
        {slot.name} · {slot.state}
      </span>
      {slot.experiment_id ? (
        <>
          <a href={`/runs/${slot.experiment_id}`}>{experiment ? titleOf(experiment) : "a run"}</a>
          {experiment ? (
            <>
              <span class="small muted">
                {moleculeText(experiment.spec.molecule)} · {methodText(experiment.spec)}
              </span>
              <span class="small num">
                {duration(elapsed(experiment))}
                {experiment.progress.percent > 0 ? `, ${Math.floor(experiment.progress.percent)} %` : ""}
              </span>
            </>
          ) : null}
        </>
      ) : (
        <span class="muted">Nothing runs here</span>
      )}
      <span class="small muted parts">
        {figures.map((figure) => (
          <span key={figure}>{figure}</span>
        ))}
      </span>
    </article>
  );
}

/** The priority of one that waits, to be changed: Enter or leaving the field sends it, Escape takes it back. */
function Priority({ experiment, again }: { experiment: Experiment; again: () => void }) {
  const [typed, setTyped] = useState<string | null>(null);
  async function send(text: string): Promise<void> {
    setTyped(null);
    const priority = numberOr(text) ?? 0;
    if (priority === experiment.priority) return;
    const { queue_position } = await patch<Experiment>(`experiments/${experiment.id}`, { priority });
    say(`${titleOf(experiment)} is number ${queue_position ?? 1} in line`);
    again();
  }
  return (
    <input
      type="text"
      inputMode="numeric"
      class="compact num right"
      aria-label={`Priority of ${titleOf(experiment)}`}
      title="-100 to 100; higher ones go first"
      value={typed ?? String(experiment.priority)}
      onInput={(event) => setTyped(event.currentTarget.value)}
      onChange={(event) => {
        const text = event.currentTarget.value;
        void attempt(() => send(text));
      }}
      onKeyDown={(event) => {
        if (event.key === "Escape") {
          event.currentTarget.value = String(experiment.priority);
          setTyped(null);
        }
      }}
    />
  );
}

/** A wait as a person says it. */
function waitText(wait: Range | null | undefined): string {
  if (wait === null || wait === undefined) return "–";
  if (wait[1] < 1) return "next";
  return wait[0] < 1 ? `up to ${duration(wait[1])}` : durationRange([wait[0], wait[1]]);
}

interface LineProps {
  waiting: Experiment[];
  waits: Map<number, Range | null>;
  again: () => void;
  /** How many rows of the line were looked at. */
  reached: (row: number) => void;
}

function Line({ waiting, waits, again, reached }: LineProps) {
  const height = useNarrow() ? 112 : 46;
  const { box, view } = useWindowRows(waiting.length, height);
  useEffect(() => reached(view.last), [view.last]);
  async function cancel(one: Experiment): Promise<void> {
    await post(`experiments/${one.id}/cancel`);
    say(`${titleOf(one)} cancelled`);
    again();
  }
  return (
    <div class="rows line-rows" role="table" aria-label="Waiting" aria-rowcount={waiting.length + 1}>
      <div role="rowgroup">
        <div class="row header" role="row">
          <span role="columnheader" class="right">
            Place
          </span>
          <span role="columnheader">Name</span>
          <span role="columnheader">Method</span>
          <span role="columnheader" class="right c-priority">
            Priority
          </span>
          <span role="columnheader" class="right c-time">
            Waiting for
          </span>
          <span role="columnheader" class="right">
            Begins in
          </span>
          <span role="columnheader">
            <span class="visually-hidden">Cancel</span>
          </span>
        </div>
      </div>
      <div class="window" role="rowgroup" ref={box} style={{ height: `${waiting.length * height}px` }}>
        {waiting.slice(view.first, view.last).map((one, row) => (
          <div class="row" role="row" key={one.id} aria-rowindex={view.first + row + 2} style={{ top: `${(view.first + row) * height}px` }}>
            <span role="cell" class="num right muted pick">
              {one.queue_position ?? "–"}
            </span>
            <span role="cell" class="c-name">
              <a class="name" href={`/runs/${one.id}`}>
                {titleOf(one)}
              </a>
            </span>
            <span role="cell" class="c-method method">
              {moleculeText(one.spec.molecule)} · {methodText(one.spec)}
            </span>
            <span role="cell" class="num right c-priority">
              <Priority experiment={one} again={again} />
            </span>
            <span role="cell" class="num right c-time muted">
              {duration((serverNow() - Date.parse(one.created_at)) / 1000)}
            </span>
            <span role="cell" class="num right c-energy">
              {waitText(waits.get(one.queue_position ?? 0))}
            </span>
            <span role="cell" class="right c-status">
              <button type="button" class="button small" aria-label={`Cancel ${titleOf(one)}`} onClick={() => void attempt(() => cancel(one))}>
                Cancel
              </button>
            </span>
          </div>
        ))}
      </div>
    </div>
  );
}
