// One run: what it is, how it goes, what it found.

import { useEffect, useState } from "preact/hooks";
import { bytes, get, post, serverNow } from "../api";
import { MoleculeView } from "../mol/molecule";
import { place, setQuery } from "../router";
import { useGeometry, useRun, type RunState } from "../run-state";
import { asCurl, asPython, formulaOf, methodText, moleculeText, titleOf, trimmed } from "../spec";
import { TERMINAL, type Experiment, type Parsed, type Result, type Vector } from "../types";
import { count, duration, energy, known, lowered, milli, moment, scientific, secondsBetween } from "../units";
import { Status } from "../ui/icons";
import { attempt, copy, Heading, Menu, save, Tabs, useFetched, useTicking, useTitle, Waiting } from "../ui/parts";
import { Convergence, referencesOf } from "./convergence";
import { OrbitalTools, type OrbitalChoice } from "./orbitals";
import { tabsOf, TabBody } from "./run-tabs";

const parse = async (experiment: Experiment) => (await post<Parsed>("molecules/parse", experiment.spec.molecule)).geometry;

export function Run({ id }: { id: string }) {
  const run = useRun(id);
  const { experiment } = run;
  useTitle(experiment ? titleOf(experiment) : "Run");
  if (!experiment)
    return (
      <>
        {run.error ? <Heading>Run</Heading> : null}
        <Waiting what="the run" error={run.error} />
      </>
    );
  return <Page run={run} experiment={experiment} />;
}

function Page({ run, experiment }: { run: RunState; experiment: Experiment }) {
  const { log, result, version } = run;
  const geometry = useGeometry(experiment, result, parse);
  const [moved, setMoved] = useState<Vector[] | null>(null);
  const [orbital, setOrbital] = useState<OrbitalChoice | null>(null);
  const tabs = tabsOf(log, result);
  const asked = place.value.query.get("tab") ?? "";
  const chosen = tabs.some(([name]) => name === asked) ? asked : (tabs[0]?.[0] ?? "log");
  // What moves the structure belongs to a tab: leaving it puts the atoms back.
  useEffect(() => setMoved(geometry?.coordinates_angstrom ?? null), [chosen, geometry]);
  const latest = log.frames[log.frames.length - 1]?.coordinates ?? null;
  const shown = moved ?? (result ? null : latest);
  const file = (experiment.name || experiment.id).replace(/[^\w.-]+/g, "-").slice(0, 60);
  return (
    <div class="run-page">
      <Head run={run} experiment={experiment} formula={geometry && experiment.spec.molecule.smiles ? lowered(formulaOf(geometry.symbols)) : null} />
      {run.error ? <Waiting what="the run" error={run.error} /> : null}
      <Outcome experiment={experiment} result={result} />
      <Figures experiment={experiment} run={run} />
      <StageLine run={run} experiment={experiment} />
      <div class="live">
        <section class="panel" aria-label="Convergence">
          <Convergence log={log} result={result} version={version} file={file} />
          {log.removed ? <p class="small muted">Of this old log {count(log.removed)} iterations are not kept any more: the curve goes straight where they were.</p> : null}
        </section>
        <section class="panel structure" aria-label="Structure">
          <MoleculeView geometry={geometry} moved={shown} orbital={orbital} label={`Structure of ${moleculeText(experiment.spec.molecule)} in 3D${orbital ? `, with orbital ${orbital.number}` : ""}`} />
          {result?.orbitals && !result.scan ? <OrbitalTools id={experiment.id} orbitals={result.orbitals} choose={setOrbital} /> : null}
        </section>
      </div>
      <Tabs label="About this run" tabs={tabs} chosen={chosen} pick={(tab) => setQuery({ tab })}>
        <TabBody tab={chosen} experiment={experiment} run={run} geometry={geometry} move={setMoved} file={file} />
      </Tabs>
    </div>
  );
}

function elapsed(experiment: Experiment): number | null {
  if (!experiment.started_at) return null;
  return experiment.finished_at ? secondsBetween(experiment.started_at, experiment.finished_at) : Math.max(0, (serverNow() - Date.parse(experiment.started_at)) / 1000);
}

function Head({ run, experiment, formula }: { run: RunState; experiment: Experiment; formula: string | null }) {
  const ended = TERMINAL.has(experiment.status);
  useTicking(!ended);
  const base = `experiments/${experiment.id}`;
  const eta = experiment.progress.eta_s;
  return (
    <div class="run-head">
      <div class="title">
        <Heading>{titleOf(experiment)}</Heading>
        <div class="under">
          <Status status={experiment.status} detail={experiment.status === "queued" && experiment.queue_position ? `number ${experiment.queue_position} in line` : undefined} />
          {experiment.cancel_requested && !ended ? <span>Cancelling …</span> : null}
          <span>
            {formula ? `${formula} (${moleculeText(experiment.spec.molecule)})` : moleculeText(experiment.spec.molecule)} · {methodText(experiment.spec)}
          </span>
          {experiment.started_at ? (
            <span class="num">
              {duration(elapsed(experiment))}
              {eta !== null && !ended ? `, about ${duration(eta)} left` : ""}
            </span>
          ) : null}
          {experiment.attempt > 1 ? <span>attempt {experiment.attempt}</span> : null}
          <span class="muted num" title={experiment.created_at}>
            {moment(experiment.created_at)}
          </span>
          {experiment.tags.map((tag) => (
            <a class="tag" key={tag} href={`/?tag=${encodeURIComponent(tag)}`}>
              {tag}
            </a>
          ))}
        </div>
      </div>
      <div class="actions">
        {ended ? null : (
          <button type="button" class="button" disabled={experiment.cancel_requested} onClick={() => void attempt(async () => (await post(`${base}/cancel`), run.again()))}>
            Cancel
          </button>
        )}
        {experiment.status === "failed" || experiment.status === "cancelled" ? <Retry id={experiment.id} again={run.again} /> : null}
        <a class="button" href={`/new?from=${experiment.id}`}>
          Duplicate
        </a>
        <Export experiment={experiment} />
      </div>
    </div>
  );
}

function Retry({ id, again }: { id: string; again: () => void }) {
  return (
    <button type="button" class="button primary" onClick={() => void attempt(async () => (await post(`experiments/${id}/retry`), again()))}>
      Retry
    </button>
  );
}

function Export({ experiment }: { experiment: Experiment }) {
  const done = experiment.status === "completed";
  const files = useFetched(() => (done ? get<{ items: { name: string; media_type: string }[] }>(`experiments/${experiment.id}/artifacts`) : Promise.resolve({ items: [] })), [experiment.id, done]);
  const fetchFile = (path: string, name: string, type: string) => void attempt(async () => save(name, new Blob([await bytes(path)], { type })));
  const spec = trimmed(experiment.spec);
  return (
    <Menu label="Export">
      {done ? (
        <li>
          <button type="button" onClick={() => fetchFile(`experiments/${experiment.id}/result`, `${experiment.id}-result.json`, "application/json")}>
            result.json
          </button>
        </li>
      ) : null}
      {files.value?.items.map((file) => (
        <li key={file.name}>
          <button type="button" onClick={() => fetchFile(`experiments/${experiment.id}/artifacts/${file.name}`, `${experiment.id}-${file.name}`, file.media_type)}>
            {file.name}
          </button>
        </li>
      ))}
      <li>
        <button type="button" onClick={() => void copy(asPython(spec, window.location.origin), "Python")}>
          Copy as Python
        </button>
      </li>
      <li>
        <button type="button" onClick={() => void copy(asCurl(spec, window.location.origin), "curl command")}>
          Copy as curl
        </button>
      </li>
    </Menu>
  );
}

const ADVICE: Record<string, string> = {
  worker_lost: "The worker was killed from outside, more than once. Retry it; if it happens again, look at the machine's memory.",
  worker_crashed: "The solver crashed in native code. Retry it; if it happens again, try another method or a smaller basis.",
  out_of_memory: "Give it more memory (limits.memory_mb), or take a smaller basis or active space.",
  timeout: "Give it more time (limits.wall_s), or take a smaller basis or active space.",
  not_converged: "Duplicate it with more iterations, a looser threshold, another reference or a better starting geometry.",
  invalid_spec: "Duplicate it and correct the input.",
};

function Outcome({ experiment, result }: { experiment: Experiment; result: Result | null }) {
  if (experiment.status === "failed" && experiment.error)
    return (
      <div class="box failed" role="alert" style={{ marginTop: "1rem" }}>
        <p>
          <strong>{experiment.error.message}</strong> <code class="muted">{experiment.error.code}</code>
        </p>
        <p>{ADVICE[experiment.error.code] ?? "Retry it, or duplicate it with other settings. The log has every step up to here."}</p>
      </div>
    );
  const notes = [...(result && !result.converged ? ["This result did not converge: read its energy as the last one, not as an answer."] : []), ...(result?.warnings ?? [])];
  if (!notes.length) return null;
  return (
    <div class="box small" style={{ marginTop: "1rem" }}>
      {notes.map((note) => (
        <p key={note}>{note}</p>
      ))}
    </div>
  );
}

function Figures({ experiment, run }: { experiment: Experiment; run: RunState }) {
  const { log, result } = run;
  const curve = log.main();
  const last = curve ? curve.x.length - 1 : -1;
  const value = experiment.energy_hartree ?? curve?.energy[last] ?? experiment.progress.energy_hartree;
  const { hf, exact } = referencesOf(log, result);
  const compared = curve?.name !== "scf" || exact !== null;
  const figures: [string, string, string][] = [];
  if (hf !== null && value !== null && compared && experiment.spec.method.name !== "dft" && Math.abs(value - hf) > 1e-12) figures.push(["vs Hartree–Fock", milli(value - hf), "mEh"]);
  if (exact !== null && value !== null) figures.push(["vs exact (FCI)", milli(value - exact), "mEh"]);
  if (curve && !result) figures.push([`${known(curve.name)} iteration`, String(curve.iteration[last]), ""]);
  if (curve && curve.residual[last] !== null) figures.push(["Residual", scientific(curve.residual[last]), ""]);
  if (result?.optimization) figures.push(["Max gradient", scientific(result.optimization.max_gradient_hartree_per_bohr), "Eh/a₀"]);
  if (result?.orbitals?.lumo_hartree !== undefined && result.orbitals.homo_hartree !== undefined)
    figures.push(["HOMO–LUMO gap", ((result.orbitals.lumo_hartree - result.orbitals.homo_hartree) * 27.211386245981).toFixed(3), "eV"]);
  const dipole = result?.properties?.dipole_debye;
  if (dipole) figures.push(["Dipole", Math.hypot(...dipole).toFixed(4), "D"]);
  return (
    <dl class="figures">
      <div class="first">
        <dt>{result ? (result.scan ? "Lowest energy" : "Energy") : "Energy so far"}</dt>
        <dd class="num" data-figure="energy">
          {energy(value)}
          <span class="unit">Eh</span>
        </dd>
      </div>
      {figures.map(([name, text, unit]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd class="num">
            {text}
            {unit ? <span class="unit">{unit}</span> : null}
          </dd>
        </div>
      ))}
    </dl>
  );
}

/** The stage that was reported last; the bar stands where the solver said that it is. */
function StageLine({ run, experiment }: { run: RunState; experiment: Experiment }) {
  if (TERMINAL.has(experiment.status)) return null;
  const { stage } = run.log;
  const percent = experiment.status === "queued" ? 0 : Math.round(stage && stage.last !== null ? Math.min(99, (100 * (stage.index + 1)) / (stage.last + 1)) : experiment.progress.percent);
  return (
    <div class="stage">
      <span class="small muted">{experiment.status === "queued" ? "Waiting for a slot" : stage ? `${stage.message}${stage.last === null ? "" : ` (${stage.index + 1} of ${stage.last + 1} stages done)`}` : "Started; no stage reported yet"}</span>
      <div class="progress" role="progressbar" aria-label="Stages done" aria-valuenow={percent} aria-valuemin={0} aria-valuemax={100}>
        <div style={{ width: `${percent}%` }} />
      </div>
    </div>
  );
}

