// Which orbital the 3D view shows, and at what value.

import { useEffect, useState } from "preact/hooks";
import { orbitalGrid, type Grid } from "../mol/grid";
import type { Orbitals } from "../types";
import { fixed } from "../units";
import { tell } from "../ui/parts";

export interface OrbitalChoice {
  number: number;
  grid: Grid;
  isovalue: number;
}

/** HOMO − 1, HOMO, LUMO and so on, where the filling says so. */
export function orbitalName(number: number, homo: number): string {
  const away = number - homo;
  if (away === 0) return "HOMO";
  if (away === 1) return "LUMO";
  return away < 0 ? `HOMO − ${-away}` : `LUMO + ${away - 1}`;
}

export const homoOf = (orbitals: Orbitals): number => orbitals.occupations.filter((filling) => filling > 0.5).length;

const AROUND = 40;

export function OrbitalTools({ id, orbitals, choose }: { id: string; orbitals: Orbitals; choose: (choice: OrbitalChoice | null) => void }) {
  const homo = homoOf(orbitals);
  const [number, setNumber] = useState<number | null>(null);
  const [isovalue, setIsovalue] = useState(0.05);
  const [grid, setGrid] = useState<Grid | null>(null);

  useEffect(() => {
    let current = true;
    setGrid(null);
    if (number !== null)
      orbitalGrid(id, number).then(
        (loaded) => current && setGrid(loaded),
        () => current && (setNumber(null), tell("This orbital could not be loaded")),
      );
    return () => void (current = false);
  }, [id, number]);
  useEffect(() => choose(number !== null && grid ? { number, grid, isovalue } : null), [grid, isovalue, number]);

  const first = Math.max(1, homo - AROUND);
  const last = Math.min(orbitals.energies_hartree.length, homo + AROUND);
  const numbers = Array.from({ length: last - first + 1 }, (_, index) => last - index);
  return (
    <div class="orbital-tools">
      <div class="field">
        <label for="orbital">Orbital</label>
        <select id="orbital" value={number === null ? "" : String(number)} onChange={(event) => setNumber(event.currentTarget.value ? Number(event.currentTarget.value) : null)}>
          <option value="">none</option>
          {numbers.map((one) => (
            <option key={one} value={String(one)}>
              {`${one}  ${orbitalName(one, homo)}  ${fixed(orbitals.energies_hartree[one - 1], 4)} Eh`}
            </option>
          ))}
        </select>
      </div>
      {number === null ? null : (
        <div class="field">
          <label for="isovalue">
            Isovalue <span class="num">{isovalue.toFixed(3)}</span>
            <span class="unit">a₀⁻³ᐟ²</span>
          </label>
          <input id="isovalue" type="range" min="0.01" max="0.15" step="0.005" value={isovalue} onInput={(event) => setIsovalue(Number(event.currentTarget.value))} />
        </div>
      )}
    </div>
  );
}
