// What is known about a run beside its energy: a tab for each thing that is there.

import { useEffect, useRef, useState } from "preact/hooks";
import type { Line, RunLog } from "../curve";
import type { RunState } from "../run-state";
import { trimmed } from "../spec";
import type { Experiment, Geometry, Result, Vector } from "../types";
import { clock, count, duration, fixed, memory, moment, scientific } from "../units";
import { Facts } from "../ui/parts";
import { Levels } from "./tabs/levels";
import { GeometryTab } from "./tabs/geometry";
import { ScanTab } from "./tabs/scan";
import { SpectrumTab } from "./tabs/spectrum";
import { Vibrations } from "./tabs/vibrations";

export interface TabProps {
  tab: string;
  experiment: Experiment;
  run: RunState;
  geometry: Geometry | null;
  move: (coordinates: Vector[] | null) => void;
  file: string;
}

/** The tabs that have content now. */
export function tabsOf(log: RunLog, result: Result | null): [string, string][] {
  const excited = (result?.states ?? []).filter((state) => state.index > 0);
  const tabs: [string, string, boolean][] = [
    ["levels", "Levels", Boolean(result?.orbitals) || excited.length > 0],
    ["spectrum", "Spectrum", excited.some((state) => (state.oscillator_strength ?? 0) > 1e-6) || Boolean(result?.frequencies)],
    ["geometry", "Geometry", Boolean(result?.geometry) || log.frames.length > 0],
    ["vibrations", "Vibrations", Boolean(result?.frequencies)],
    ["scan", "Scan", Boolean(result?.scan) || log.points.length > 0],
    ["circuit", "Circuit", Boolean(result?.circuit || result?.sampling || result?.search)],
    ["log", "Log", true],
    ["input", "Input", true],
    ["provenance", "Provenance", Boolean(result?.provenance)],
  ];
  return tabs.filter(([, , there]) => there).map(([name, text]) => [name, text]);
}

export function TabBody(props: TabProps) {
  const { tab, experiment, run, geometry, move, file } = props;
  const { result, log } = run;
  if (tab === "log") return <Log lines={log.lines} version={run.version} />;
  if (tab === "input") return <pre class="code" tabIndex={0}>{JSON.stringify(trimmed(experiment.spec), null, 2)}</pre>;
  if (tab === "geometry") return <GeometryTab log={log} result={result} geometry={geometry} version={run.version} move={move} file={file} />;
  if (tab === "scan") return <ScanTab log={log} experiment={experiment} result={result} geometry={geometry} version={run.version} move={move} file={file} />;
  if (!result) return null;
  if (tab === "levels") return <Levels result={result} file={file} />;
  if (tab === "spectrum") return <SpectrumTab result={result} file={file} />;
  if (tab === "vibrations") return <Vibrations frequencies={result.frequencies!} geometry={geometry} move={move} />;
  if (tab === "circuit") return <Circuit result={result} />;
  return <Provenance experiment={experiment} result={result} />;
}

const SHOWN_LINES = 500;

/** `version` grows with the lines, which stay the same array. */
function Log({ lines }: { lines: Line[]; version: number }) {
  const list = useRef<HTMLOListElement>(null);
  const [pinned, setPinned] = useState(true);
  useEffect(() => {
    if (pinned && list.current) list.current.scrollTop = list.current.scrollHeight;
  }, [lines.length, pinned]);
  const shown = lines.slice(-SHOWN_LINES);
  if (!lines.length) return <p class="muted">Nothing was logged.</p>;
  return (
    <>
      {lines.length > SHOWN_LINES ? <p class="small muted">The last {SHOWN_LINES} of {lines.length} lines; Export has all events.</p> : null}
      <ol
        class="log"
        ref={list}
        tabIndex={0}
        aria-label="Log"
        onScroll={(event) => setPinned(event.currentTarget.scrollTop + event.currentTarget.clientHeight > event.currentTarget.scrollHeight - 8)}
      >
        {shown.map((line) => (
          <li key={line.seq} class={line.level}>
            <time dateTime={line.time} title={line.time}>
              {clock(line.time)}
            </time>
            <span class="level">{line.level}</span>
            <span>{line.text}</span>
          </li>
        ))}
      </ol>
    </>
  );
}

function Circuit({ result }: { result: Result }) {
  const { circuit, search, sampling } = result;
  return (
    <div class="split">
      {circuit || search ? (
        <Facts
          facts={[
            ["Qubits", circuit ? count(circuit.qubits) : null],
            ["Parameters", circuit ? count(circuit.parameters) : null],
            ["Two-qubit gates", circuit?.two_qubit_gates === undefined ? null : count(circuit.two_qubit_gates)],
            ["Mapping", circuit ? "Jordan–Wigner" : null],
            ["Optimiser", search?.optimizer],
            ["Iterations", search ? count(search.iterations) : null],
            ["Energies evaluated", search ? count(search.evaluations) : null],
            ["Gradient norm", search?.gradient_norm === undefined ? null : scientific(search.gradient_norm)],
            ["Operators", search?.operators?.length ? search.operators.join(", ") : null],
          ]}
        />
      ) : null}
      {sampling ? (
        <div>
          <Facts
            facts={[
              ["Sampler", sampling.sampler],
              ["Samples", count(sampling.samples)],
              ["Distinct", count(sampling.distinct)],
              ["Right particle number", `${fixed(100 * sampling.valid_fraction, 1)} %`],
              ["Determinants", count(sampling.determinants)],
            ]}
          />
          <table style={{ marginTop: "1rem" }}>
            <thead>
              <tr>
                <th scope="col">Round</th>
                <th scope="col" class="num">
                  Energy / Eh
                </th>
                <th scope="col" class="num">
                  Determinants
                </th>
              </tr>
            </thead>
            <tbody>
              {sampling.iterations.map((round, index) => (
                <tr key={index}>
                  <td>{index + 1}</td>
                  <td class="num">{fixed(round.energy_hartree, 8)}</td>
                  <td class="num">{count(round.determinants)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      ) : null}
    </div>
  );
}

function Provenance({ experiment, result }: { experiment: Experiment; result: Result }) {
  const made = result.provenance!;
  return (
    <div class="split">
      <Facts
        facts={[
          ["Experiment", <code key="id">{experiment.id}</code>],
          ["Spec hash", <code key="hash">{experiment.spec_hash}</code>],
          ["Posted", moment(experiment.created_at)],
          ["Started", moment(experiment.started_at)],
          ["Finished", moment(experiment.finished_at)],
          ["Attempt", String(experiment.attempt)],
          ["Reused from", experiment.reused_from ? <a href={`/runs/${experiment.reused_from}`}>{experiment.reused_from}</a> : null],
          ["Reference", result.reference ? `${result.reference.type.toUpperCase()}, ⟨S²⟩ ${fixed(result.reference.s_squared, 4)}${result.reference.stable === undefined ? "" : result.reference.stable ? ", stable" : ", unstable"}` : null],
        ]}
      />
      <Facts
        facts={[
          ["Solver time", duration(made.wall_s)],
          ["CPU time", duration(made.cpu_s)],
          ["Peak memory", memory(made.peak_rss_mb)],
          ["Threads", String(made.threads)],
          ["Seed", made.seed === undefined ? null : String(made.seed)],
          ...Object.entries(made.versions).map(([name, version]): [string, string] => [name, version]),
        ]}
      />
    </div>
  );
}
