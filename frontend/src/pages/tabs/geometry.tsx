// The structure in numbers: coordinates, bonds, charges; and the way there, for an optimisation.

import { useMemo, useState } from "preact/hooks";
import type { RunLog } from "../../curve";
import type { Geometry, Result, Vector } from "../../types";
import { energy, fixed, scientific } from "../../units";
import { Plot } from "../../ui/plot";
import { Player } from "./player";

interface Props {
  log: RunLog;
  result: Result | null;
  geometry: Geometry | null;
  version: number;
  move: (coordinates: Vector[] | null) => void;
  file: string;
}

export function GeometryTab({ log, result, geometry, version, move, file }: Props) {
  return (
    <div class="split">
      <div>
        {log.frames.length > 1 ? <Trajectory log={log} version={version} move={move} file={file} /> : null}
        {geometry ? <Coordinates geometry={geometry} charges={result?.properties?.mulliken_charges} /> : null}
      </div>
      {geometry ? <Bonds geometry={geometry} orders={result?.properties?.bond_orders} /> : null}
    </div>
  );
}

function Trajectory({ log, version, move, file }: Omit<Props, "result" | "geometry">) {
  const frames = log.frames;
  const [at, setAt] = useState(frames.length - 1);
  const x = useMemo(() => frames.map((_, index) => index), [frames.length]);
  const traces = useMemo(() => [{ name: "Energy", colour: "plot-1", values: frames.map((frame) => frame.energy) }], [frames.length]);
  function go(to: number): void {
    setAt(to);
    move(frames[to]?.coordinates ?? null);
  }
  return (
    <section style={{ marginBottom: "1.5rem" }}>
      <Plot
        label={`Energy along the optimisation, ${frames.length} steps`}
        file={`${file}-optimisation`}
        x={x}
        xLabel="Step"
        yLabel="Energy / Eh"
        traces={traces}
        version={version}
        height={220}
        hover={(index) => index !== null && go(index)}
        readout={(index) => `Step ${frames[index]!.step}: ${energy(frames[index]!.energy)} Eh, largest gradient ${scientific(frames[index]!.gradient)} Eh/a₀`}
        table={{ columns: ["step", "energy / Eh", "max gradient / (Eh/a0)"], rows: () => frames.map((frame) => [frame.step, frame.energy, frame.gradient]) }}
      />
      <Player frames={frames.length} at={Math.min(at, frames.length - 1)} go={go} label={(index) => `step ${frames[index]?.step ?? 0}`} />
    </section>
  );
}

function Coordinates({ geometry, charges }: { geometry: Geometry; charges: number[] | undefined }) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Coordinates">
      <table>
        <thead>
          <tr>
            <th scope="col">Atom</th>
            {["x", "y", "z"].map((axis) => (
              <th scope="col" class="num" key={axis}>
                {axis} / Å
              </th>
            ))}
            {charges ? (
              <th scope="col" class="num">
                Mulliken charge
              </th>
            ) : null}
          </tr>
        </thead>
        <tbody>
          {geometry.symbols.map((symbol, index) => (
            <tr key={index}>
              <td>
                {symbol} <span class="muted">{index}</span>
              </td>
              {geometry.coordinates_angstrom[index]!.map((value, axis) => (
                <td class="num" key={axis}>
                  {fixed(value, 5)}
                </td>
              ))}
              {charges ? <td class="num">{fixed(charges[index], 4)}</td> : null}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

export const distance = (a: Vector, b: Vector): number => Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);

const WORTH_SHOWING = 0.1;

function Bonds({ geometry, orders }: { geometry: Geometry; orders: { atoms: [number, number]; order: number }[] | undefined }) {
  const bonds = (orders ?? []).filter((bond) => bond.order > WORTH_SHOWING);
  if (!bonds.length) return null;
  return (
    <table>
      <thead>
        <tr>
          <th scope="col">Bond</th>
          <th scope="col" class="num">
            Length / Å
          </th>
          <th scope="col" class="num">
            Mayer order
          </th>
        </tr>
      </thead>
      <tbody>
        {bonds.map(({ atoms: [a, b], order }) => (
          <tr key={`${a} ${b}`}>
            <td>
              {geometry.symbols[a]}
              <span class="muted"> {a}</span> – {geometry.symbols[b]}
              <span class="muted"> {b}</span>
            </td>
            <td class="num">{fixed(distance(geometry.coordinates_angstrom[a]!, geometry.coordinates_angstrom[b]!), 4)}</td>
            <td class="num">{fixed(order, 3)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
