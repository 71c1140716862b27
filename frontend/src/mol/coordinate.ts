// A structure with one internal coordinate set to a value: what a rigid scan moves.

import type { Geometry, Scan, Vector } from "../types";

const minus = (a: Vector, b: Vector): Vector => [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
const plus = (a: Vector, b: Vector, factor = 1): Vector => [a[0] + factor * b[0], a[1] + factor * b[1], a[2] + factor * b[2]];
const dot = (a: Vector, b: Vector): number => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const cross = (a: Vector, b: Vector): Vector => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
const unit = (a: Vector): Vector => {
  const length = Math.hypot(...a) || 1;
  return [a[0] / length, a[1] / length, a[2] / length];
};

/** A point turned around an axis through `centre` by an angle in radians (Rodrigues). */
function turned(point: Vector, centre: Vector, axis: Vector, angle: number): Vector {
  const arm = minus(point, centre);
  const along = plus([0, 0, 0], axis, dot(axis, arm) * (1 - Math.cos(angle)));
  const across = plus(along, arm, Math.cos(angle));
  return plus(centre, plus(across, cross(axis, arm), Math.sin(angle)));
}

/** Covalent radii in angstrom (Cordero and others, Dalton Trans. 2008, 2832). */
const RADII: Record<string, number> = {
  H: 0.31, He: 0.28, Li: 1.28, Be: 0.96, B: 0.84, C: 0.73, N: 0.71, O: 0.66, F: 0.57, Ne: 0.58, Na: 1.66, Mg: 1.41, Al: 1.21, Si: 1.11, P: 1.07, S: 1.05,
  Cl: 1.02, Ar: 1.06, K: 2.03, Ca: 1.76, Sc: 1.7, Ti: 1.6, V: 1.53, Cr: 1.39, Mn: 1.5, Fe: 1.42, Co: 1.38, Ni: 1.24, Cu: 1.32, Zn: 1.22, Ga: 1.22,
  Ge: 1.2, As: 1.19, Se: 1.2, Br: 1.2, Kr: 1.16, I: 1.39,
};
const OTHER_RADIUS = 1.4;
const BOND_FACTOR = 1.3;

/** The atoms that move with `moving` when its bond to `fixed` is cut: the solver's rule, so that the picture is what it computed. */
export function movers({ symbols, coordinates_angstrom: at }: Geometry, fixed: number, moving: number): number[] {
  const radius = (index: number) => RADII[symbols[index]!] ?? OTHER_RADIUS;
  const isBonded = (a: number, b: number) => a !== b && Math.hypot(...minus(at[a]!, at[b]!)) < BOND_FACTOR * (radius(a) + radius(b));
  const isCut = (a: number, b: number) => (a === moving && b === fixed) || (a === fixed && b === moving);
  const found = new Set([moving]);
  const open = [moving];
  while (open.length) {
    const here = open.pop()!;
    at.forEach((_, index) => {
      if (found.has(index) || isCut(here, index) || !isBonded(here, index)) return;
      found.add(index);
      open.push(index);
    });
  }
  return found.has(fixed) ? [moving] : [...found];
}

/** The coordinates with the bond, angle or dihedral of `atoms` at `value` (angstrom or degrees). */
export function scanned(geometry: Geometry, type: Scan["type"], atoms: number[], value: number): Vector[] {
  const at = geometry.coordinates_angstrom;
  const [a, b, c, d] = atoms.map((index) => at[index]!) as [Vector, Vector, Vector, Vector];
  const [fixed, last] = [atoms[atoms.length - 2]!, atoms[atoms.length - 1]!];
  if (type === "bond") {
    const direction = unit(minus(b, a));
    const step = value - Math.hypot(...minus(b, a));
    const moving = movers(geometry, fixed, last);
    return at.map((point, index) => (moving.includes(index) ? plus(point, direction, step) : point));
  }
  const radians = (value * Math.PI) / 180;
  if (type === "angle") {
    const [left, right] = [minus(a, b), minus(c, b)];
    const now = Math.acos(Math.max(-1, Math.min(1, dot(unit(left), unit(right)))));
    const axis = unit(cross(left, right));
    const moving = movers(geometry, fixed, last);
    return at.map((point, index) => (moving.includes(index) ? turned(point, b, axis, radians - now) : point));
  }
  const axis = unit(minus(c, b));
  const [first, second] = [cross(minus(b, a), axis), cross(axis, minus(d, c))];
  const now = Math.atan2(dot(cross(first, second), axis), dot(first, second));
  const side = movers(geometry, atoms[1]!, atoms[2]!);
  const moving = side.includes(last) && !side.includes(atoms[0]!) ? side : movers(geometry, fixed, last);
  return at.map((point, index) => (moving.includes(index) ? turned(point, c, axis, radians - now) : point));
}
