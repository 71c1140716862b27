// Runs side by side: their curves overlaid, what they were asked and what they found; differences are to the first one.

import { useEffect, useMemo, useState } from "preact/hooks";
import { get } from "../api";
import { overlaid, RunLog, type Curve } from "../curve";
import { watch } from "../live";
import { place, setQuery } from "../router";
import { flatSpec, methodText, titleOf } from "../spec";
import { TERMINAL, type Event, type Experiment, type Result } from "../types";
import { duration, energy, known, memory, milli, scientific, secondsBetween } from "../units";
import { Status } from "../ui/icons";
import { Heading, save, Segments, useTitle, Waiting } from "../ui/parts";
import { csv } from "../ui/frame";
import { Plot, type Trace } from "../ui/plot";
import { referencesOf } from "./convergence";

const MOST = 20;
const EVERY_MS = 1_000;

/** A run with its log and result, brought up to date by `refresh`. */
export class Compared {
  readonly log = new RunLog();
  result: Result | null = null;
  constructor(public experiment: Experiment) {}

  async refresh(signal: AbortSignal): Promise<void> {
    const { id } = this.experiment;
    let after: number | null = this.log.lastSeq;
    while (after !== null) {
      const page: { items: Event[]; next_after: number | null } = await get(`experiments/${id}/events?after=${after}&limit=1000`, signal);
      for (const event of page.items) this.log.take(event);
      after = page.next_after;
    }
    this.experiment = await get<Experiment>(`experiments/${id}`, signal);
    if (this.experiment.status === "completed" && !this.result) this.result = await get<Result>(`experiments/${id}/result`, signal);
  }
}

function useCompared(ids: string[]): { runs: Compared[] | null; error: unknown; version: number } {
  const [runs, setRuns] = useState<Compared[] | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [version, setVersion] = useState(0);
  const key = ids.join();
  useEffect(() => {
    const abort = new AbortController();
    const quietly = (problem: unknown) => abort.signal.aborted || setError(problem);
    setRuns(null);
    setError(null);
    let stop = () => {};
    let timer = 0;
    const begin = async () => {
      const found = await Promise.all(ids.map(async (id) => new Compared(await get<Experiment>(`experiments/${encodeURIComponent(id)}`, abort.signal))));
      await Promise.all(found.map((run) => run.refresh(abort.signal)));
      setRuns(found);
      const changed = new Set<string>();
      const look = async () => {
        const due = found.filter((run) => changed.has(run.experiment.id));
        changed.clear();
        await Promise.all(due.map((run) => run.refresh(abort.signal))).catch(() => undefined);
        timer = 0;
        setVersion((before) => before + 1);
      };
      const soon = (some: string[]) => {
        for (const id of some) changed.add(id);
        if (changed.size) timer ||= window.setTimeout(() => void look(), EVERY_MS);
      };
      if (found.some((run) => !TERMINAL.has(run.experiment.status)))
        stop = watch(
          (news) => soon(news.map((item) => item.experiment_id).filter((id) => ids.includes(id))),
          () => soon(ids),
        );
    };
    if (ids.length) begin().catch(quietly);
    return () => {
      abort.abort();
      stop();
      window.clearTimeout(timer);
    };
  }, [key]);
  return { runs, error, version };
}

export function Compare(_: { id: string }) {
  useTitle("Compare");
  const ids = [...new Set((place.value.query.get("ids") ?? "").split(",").filter(Boolean))].slice(0, MOST);
  const { runs, error, version } = useCompared(ids);
  return (
    <>
      <div class="head">
        <Heading>Compare</Heading>
      </div>
      {!ids.length ? (
        <p>
          Choose two or more among <a href="/">the runs</a>.
        </p>
      ) : runs ? (
        <>
          <section class="panel" aria-label="Convergence">
            <Curves runs={runs} version={version} />
          </section>
          <Differences runs={runs} version={version} />
        </>
      ) : (
        <Waiting what="the runs" error={error} />
      )}
    </>
  );
}

// Curves

type View = "energy" | "error";
const COLOURS = ["plot-1", "plot-2", "plot-3", "plot-4", "plot-5", "plot-6"];
const FAR_HARTREE = 1;

const names = (runs: Compared[]): string[] => {
  const titles = runs.map((run) => titleOf(run.experiment));
  const unlike = titles.map((title, index) => (titles.indexOf(title) !== index || titles.lastIndexOf(title) !== index ? `${title}, ${methodText(runs[index]!.experiment.spec)}` : title));
  return unlike.map((title, index) => (unlike.indexOf(title) !== index ? `${title} (${index + 1})` : title));
};

function Curves({ runs, version }: { runs: Compared[]; version: number }) {
  const drawn = runs.map((run) => ({ run, curve: run.log.main() })).filter((one): one is { run: Compared; curve: Curve } => one.curve !== null);
  const lasts = drawn.map(({ run, curve }) => run.experiment.energy_hartree ?? curve.energy[curve.energy.length - 1]!);
  const [asked, setView] = useState<View | null>(null);
  // Energies of different molecules share no axis; how they converge does.
  const view = asked ?? (Math.max(...lasts) - Math.min(...lasts) > FAR_HARTREE ? "error" : "energy");
  const titles = names(runs);
  const { x, traces } = useMemo(() => {
    const { x, ys } = overlaid(
      drawn.map(({ curve }, index) => ({
        x: curve.x,
        y: view === "energy" ? curve.energy : curve.energy.map((value) => (value === lasts[index] ? null : Math.abs(value - lasts[index]!))),
      })),
    );
    const traces = ys.map((values, index): Trace => ({ name: titles[runs.indexOf(drawn[index]!.run)]!, colour: COLOURS[index % COLOURS.length]!, values, dash: index >= COLOURS.length }));
    return { x, traces };
  }, [runs, version, view]);
  return (
    <Plot
      label={`Convergence of ${drawn.length} runs, overlaid`}
      file="compare-convergence"
      x={x}
      xLabel="Iteration"
      yLabel={view === "energy" ? "Energy / Eh" : "|E − E(last)| / Eh"}
      traces={traces}
      log={view === "error"}
      version={version}
      height={340}
      legend
      empty="None of these runs has iterations"
      readout={(at) =>
        `Iteration ${x[at]}: ${traces
          .filter((trace) => trace.values[at] !== null && trace.values[at] !== undefined)
          .map((trace) => `${trace.name} ${view === "energy" ? energy(trace.values[at]) : scientific(trace.values[at])}`)
          .join(", ")}`
      }
      table={{
        columns: ["run", "series", "iteration", "energy / Eh", "residual"],
        rows: () => drawn.flatMap(({ run, curve }) => curve.x.map((_, at) => [titles[runs.indexOf(run)]!, known(curve.name), curve.iteration[at]!, curve.energy[at]!, curve.residual[at]!])),
      }}
      tools={
        <Segments<View>
          label="What is drawn"
          value={view}
          options={[
            ["energy", "Energy"],
            ["error", "Error, log"],
          ]}
          pick={setView}
        />
      }
    />
  );
}

// Differences

interface Line {
  name: string;
  cells: string[];
  /** Which cells differ from the first one: settings only. */
  changed: boolean[];
}

function settingsOf(runs: Compared[]): Line[] {
  const flat = runs.map((run) => flatSpec(run.experiment.spec));
  const keys = [...new Set(flat.flatMap((one) => [...one.keys()]))];
  return keys.map((name) => {
    const values = flat.map((one) => one.get(name));
    const first = JSON.stringify(values[0]?.value);
    return { name, cells: values.map((value) => value?.text ?? "–"), changed: values.map((value) => JSON.stringify(value?.value) !== first) };
  });
}

function findingsOf(runs: Compared[]): Line[] {
  const first = runs[0]!.experiment.energy_hartree;
  const line = (name: string, cell: (run: Compared) => string): Line => ({ name, cells: runs.map(cell), changed: runs.map(() => false) });
  return [
    line("Energy / Eh", ({ experiment }) => energy(experiment.energy_hartree)),
    line("To the first / mEh", ({ experiment }) => (first === null || experiment.energy_hartree === null ? "–" : milli(experiment.energy_hartree - first))),
    line("vs Hartree–Fock / mEh", ({ experiment, log, result }) => {
      const { hf } = referencesOf(log, result);
      return hf === null || experiment.energy_hartree === null || experiment.spec.method.name === "hf" ? "–" : milli(experiment.energy_hartree - hf);
    }),
    line("Converged", ({ result }) => (result === null ? "–" : result.converged ? "yes" : "no")),
    line("Points reported", ({ log }) => String(log.main()?.x.length ?? 0)),
    line("Time", ({ experiment }) => (experiment.started_at && experiment.finished_at ? duration(secondsBetween(experiment.started_at, experiment.finished_at)) : "–")),
    line("Peak memory", ({ result }) => memory(result?.provenance?.peak_rss_mb)),
  ];
}

function Differences({ runs, version }: { runs: Compared[]; version: number }) {
  const onlyChanged = place.value.query.get("all") === null;
  const settings = useMemo(() => settingsOf(runs), [runs, version]);
  const findings = findingsOf(runs);
  const shown = onlyChanged ? settings.filter((line) => line.changed.some(Boolean)) : settings;
  const titles = names(runs);
  const table = { columns: ["", ...titles], rows: () => [...findings, ...settings].map((line) => [line.name, ...line.cells]) };
  return (
    <section aria-label="Differences">
      <div class="head" style={{ marginTop: "1.5rem" }}>
        <h2>Differences</h2>
        <div class="actions">
          <label class="check">
            <input type="checkbox" checked={!onlyChanged} onChange={(event) => setQuery({ all: event.currentTarget.checked ? "1" : null })} />
            <span>All settings</span>
          </label>
          <button type="button" class="button small" onClick={() => save("compare.csv", new Blob([csv(table)], { type: "text/csv" }))}>
            CSV
          </button>
        </div>
      </div>
      <div class="scroll-x" tabIndex={0} role="region" aria-label="Table of differences">
        <table class="differences">
          <thead>
            <tr>
              <td />
              {runs.map((run, index) => (
                <th scope="col" key={run.experiment.id}>
                  <a href={`/runs/${run.experiment.id}`}>{titles[index]}</a>
                  <Status status={run.experiment.status} />
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {findings.map((line) => (
              <Row key={line.name} line={line} number />
            ))}
          </tbody>
          <tbody>
            {shown.map((line) => (
              <Row key={line.name} line={line} />
            ))}
            {shown.length ? null : (
              <tr>
                <td colSpan={runs.length + 1} class="muted">
                  The settings are the same.
                </td>
              </tr>
            )}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function Row({ line, number }: { line: Line; number?: boolean }) {
  return (
    <tr>
      <th scope="row">{line.name}</th>
      {line.cells.map((cell, index) => (
        <td key={index} class={number ? "num" : ""}>
          {line.changed[index] ? (
            <mark>
              <span aria-hidden="true">≠ </span>
              <span class="visually-hidden">changed: </span>
              {cell}
            </mark>
          ) : (
            cell
          )}
        </td>
      ))}
    </tr>
  );
}
