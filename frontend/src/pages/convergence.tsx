// The convergence of a run, drawn as it grows.

import { useMemo, useRef, useState } from "preact/hooks";
import type { Curve, RunLog } from "../curve";
import type { Result } from "../types";
import { CHEMICAL_ACCURACY_HARTREE, energy, known, scientific } from "../units";
import { Segments } from "../ui/parts";
import { Plot, type Mark } from "../ui/plot";

type View = "energy" | "error" | "residual";

export interface References {
  hf: number | null;
  exact: number | null;
}

/** What an energy is compared with; a scan has no single one. */
export function referencesOf(log: RunLog, result: Result | null): References {
  if (log.points.length) return { hf: null, exact: null };
  return { hf: result?.comparisons?.["hf"] ?? result?.components?.["hf_hartree"] ?? log.hf, exact: result?.comparisons?.["fci"] ?? null };
}

export function Convergence({ log, result, version, file }: { log: RunLog; result: Result | null; version: number; file: string }) {
  const [view, setView] = useState<View>("energy");
  const [chosen, setChosen] = useState<string | null>(null);
  const [held, setHeld] = useState<number | null>(null);
  const names = [...log.curves.keys()];
  const curve = (chosen !== null && log.curves.get(chosen)) || log.main();
  const { hf, exact } = referencesOf(log, result);
  const size = held === null ? (curve?.x.length ?? 0) : Math.min(held, curve?.x.length ?? 0);

  // The arrays of a curve only grow: what they are cut to decides what is drawn.
  const cut = useRef<{ curve: Curve | null; size: number; x: number[] }>({ curve: null, size: -1, x: [] });
  if (cut.current.curve !== curve || cut.current.size !== size) cut.current = { curve, size, x: curve ? (size === curve.x.length ? curve.x : curve.x.slice(0, size)) : [] };
  const last = curve?.energy[curve.energy.length - 1] ?? null;
  const zero = exact ?? result?.energy_hartree ?? last;

  const values = useMemo(() => {
    if (!curve) return [];
    if (view === "residual") return curve.residual.slice(0, size).map((value) => (value === null ? null : Math.abs(value)));
    if (view === "error") return curve.energy.slice(0, size).map((value) => (zero === null || value === zero ? null : Math.abs(value - zero)));
    return size === curve.energy.length ? curve.energy : curve.energy.slice(0, size);
  }, [curve, size, view, zero]);
  const traces = useMemo(() => [{ name: known(curve?.name ?? "energy"), colour: "plot-1", values }], [values, curve?.name]);

  const marks: Mark[] = [];
  const own = curve?.name !== "scf";
  if (view === "energy" && own && hf !== null) marks.push({ at: hf, name: "Hartree–Fock", colour: "plot-2" });
  if (view === "energy" && exact !== null) marks.push({ at: exact, name: "Exact (FCI)", colour: "plot-6" });
  const half = CHEMICAL_ACCURACY_HARTREE;
  const near = exact !== null && curve !== null && Math.abs((last ?? 0) - exact) < 0.05;
  const band = exact === null || view === "residual" ? null : view === "error" ? { low: 0, high: half, name: "Chemical accuracy, 1 kcal/mol" } : near ? { low: exact - half, high: exact + half, name: "Chemical accuracy, ±1 kcal/mol" } : null;
  const verticals = curve ? attemptsOf(curve, size) : [];

  return (
    <Plot
      label={`Convergence of the ${known(curve?.name ?? "energy")} energy: ${size} points${last === null ? "" : `, the last one ${energy(last)} hartree`}`}
      file={`${file}-convergence`}
      x={cut.current.x}
      xLabel="Iteration"
      yLabel={view === "energy" ? "Energy / Eh" : view === "error" ? (exact !== null ? "|E − E(exact)| / Eh" : "|E − E(last)| / Eh") : "Residual"}
      traces={traces}
      marks={marks}
      band={band}
      verticals={verticals}
      log={view !== "energy"}
      version={version}
      empty={log.status === "queued" ? "The chart begins when the run does" : "No iterations yet"}
      readout={(at) => (curve ? `${known(curve.name)} ${curve.iteration[at]}${curve.attempt[at]! > 1 ? `, attempt ${curve.attempt[at]}` : ""}: ${energy(curve.energy[at])} Eh${curve.residual[at] === null ? "" : `, residual ${scientific(curve.residual[at])}`}` : "")}
      table={{
        columns: ["series", "attempt", "iteration", "energy / Eh", "residual", "time"],
        rows: () => (curve ? curve.x.map((_, at) => [curve.name, curve.attempt[at]!, curve.iteration[at]!, curve.energy[at]!, curve.residual[at]!, curve.time[at]!]) : []),
      }}
      tools={
        <>
          {names.length > 1 ? <Segments label="Series" value={curve?.name ?? ""} options={names.map((name) => [name, known(name)])} pick={setChosen} /> : null}
          <Segments<View>
            label="What is drawn"
            value={view}
            options={[
              ["energy", "Energy"],
              ["error", "Error, log"],
              ["residual", "Residual, log"],
            ]}
            pick={setView}
          />
          {log.status === "running" ? (
            <button type="button" class="button quiet small" aria-pressed={held !== null} onClick={() => setHeld(held === null ? (curve?.x.length ?? 0) : null)}>
              {held === null ? "Pause" : "Go on"}
            </button>
          ) : null}
        </>
      }
    />
  );
}

/** Where a later attempt took over. */
function attemptsOf(curve: Curve, size: number): { at: number; name: string }[] {
  const starts = [];
  const last = curve.attempt[size - 1] ?? 1;
  if (last === (curve.attempt[0] ?? 1)) return [];
  for (let at = 1; at < size; at++) if (curve.attempt[at] !== curve.attempt[at - 1]) starts.push({ at: curve.x[at]!, name: `attempt ${curve.attempt[at]}` });
  return starts;
}
