// Energies along a coordinate; where the pointer is, the structure above follows.

import { useMemo } from "preact/hooks";
import type { RunLog } from "../../curve";
import { scanned } from "../../mol/coordinate";
import type { Experiment, Geometry, Result, Scan, Vector } from "../../types";
import { energy, fixed, KCAL_PER_HARTREE, known } from "../../units";
import { Plot } from "../../ui/plot";

interface Props {
  log: RunLog;
  experiment: Experiment;
  result: Result | null;
  geometry: Geometry | null;
  version: number;
  move: (coordinates: Vector[] | null) => void;
  file: string;
}

export function ScanTab({ log, experiment, result, geometry, version, move, file }: Props) {
  const asked = experiment.spec.task?.["coordinate"] as { type: Scan["type"]; atoms: number[] };
  const points = useMemo(() => {
    const found = result?.scan ? result.scan.values.map((value, index) => ({ value, energy: result.scan!.energies_hartree[index]! })) : [...log.points];
    return found.sort((a, b) => a.value - b.value);
  }, [result?.scan, log.points.length]);
  const x = useMemo(() => points.map((point) => point.value), [points]);
  const traces = useMemo(() => [{ name: "Energy", colour: "plot-1", values: points.map((point) => point.energy), points: true }], [points]);
  const unit = asked.type === "bond" ? "Å" : "°";
  const lowest = Math.min(...points.map((point) => point.energy));
  const told = (value: number) => `${fixed(value, asked.type === "bond" ? 4 : 2)} ${unit}`;
  function hover(at: number | null): void {
    if (!geometry) return;
    const point = at === null ? null : points[at];
    move(point ? scanned(geometry, asked.type, asked.atoms, point.value) : geometry.coordinates_angstrom);
  }
  return (
    <Plot
      label={`Energy along the ${asked.type} of atoms ${asked.atoms.join(", ")}, ${points.length} points`}
      file={`${file}-scan`}
      x={x}
      xLabel={`${known(asked.type)} ${asked.atoms.join("–")} / ${unit}`}
      yLabel="Energy / Eh"
      traces={traces}
      version={version}
      height={320}
      hover={hover}
      readout={(at) => `${told(points[at]!.value)}: ${energy(points[at]!.energy)} Eh, ${fixed((points[at]!.energy - lowest) * KCAL_PER_HARTREE, 2)} kcal/mol above the lowest`}
      table={{ columns: [`${asked.type} / ${asked.type === "bond" ? "angstrom" : "degree"}`, "energy / Eh", "relative / (kcal/mol)"], rows: () => points.map((point) => [point.value, point.energy, (point.energy - lowest) * KCAL_PER_HARTREE]) }}
    />
  );
}
