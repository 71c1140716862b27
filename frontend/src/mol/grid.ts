// orbitals.grid: a line of JSON, then little-endian float32 values, orbital by orbital, the last axis fastest.

import { bytes } from "../api";

export const ANGSTROM_PER_BOHR = 0.529177210903;

interface Header {
  origin_bohr: [number, number, number];
  spacing_bohr: [number, number, number];
  shape: [number, number, number];
  orbitals: { number: number; energy_hartree: number; occupation: number }[];
}

export interface Grid {
  key: string;
  /** As the 3D engine takes it: angstrom, the last axis fastest. */
  volume: { data: Float32Array; size: Axes; origin: Axes; unit: Axes; matrix: null };
}

interface Axes {
  x: number;
  y: number;
  z: number;
}

const axes = (values: readonly number[], factor = 1): Axes => ({ x: values[0]! * factor, y: values[1]! * factor, z: values[2]! * factor });

/** The values of the orbitals in a file, one grid each. */
export function readGrids(buffer: ArrayBuffer): { number: number; volume: Grid["volume"] }[] {
  const whole = new Uint8Array(buffer);
  const end = whole.indexOf(10);
  if (end < 0) throw new Error("the grid has no header line");
  const header = JSON.parse(new TextDecoder().decode(whole.subarray(0, end))) as Header;
  const size = header.shape[0] * header.shape[1] * header.shape[2];
  if (whole.length - end - 1 !== 4 * size * header.orbitals.length) throw new Error("the grid is cut short");
  const view = new DataView(buffer, end + 1);
  return header.orbitals.map((orbital, index) => {
    const data = new Float32Array(size);
    for (let place = 0; place < size; place++) data[place] = view.getFloat32(4 * (index * size + place), true);
    const volume = { data, size: axes(header.shape), origin: axes(header.origin_bohr, ANGSTROM_PER_BOHR), unit: axes(header.spacing_bohr, ANGSTROM_PER_BOHR), matrix: null };
    return { number: orbital.number, volume };
  });
}

const kept = new Map<string, Promise<Grid>>();
const KEPT = 12;

/** One orbital of a run, numbered from 1; the last few stay in memory. */
export function orbitalGrid(id: string, number: number): Promise<Grid> {
  const key = `${id}/${number}`;
  let grid = kept.get(key);
  if (grid === undefined) {
    grid = bytes(`experiments/${id}/artifacts/orbitals.grid?orbitals=${number}`).then((buffer) => ({ key, volume: readGrids(buffer)[0]!.volume }));
    kept.set(key, grid);
    grid.catch(() => kept.delete(key));
    if (kept.size > KEPT) kept.delete(kept.keys().next().value!);
  }
  return grid;
}
