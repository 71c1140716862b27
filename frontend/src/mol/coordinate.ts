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

const BONDED_ANGSTROM = 1.9;

/** The atoms that move with the last one when the bond between `fixed` and `moving` is cut. */
export function movers(coordinates: Vector[], fixed: number, moving: number): number[] {
  const found = new Set([moving]);
  const open = [moving];
  while (open.length) {
    const here = open.pop()!;
    coordinates.forEach((at, index) => {
      const isCut = (here === moving && index === fixed) || index === fixed;
      if (!found.has(index) && !isCut && Math.hypot(...minus(at, coordinates[here]!)) < BONDED_ANGSTROM) {
        found.add(index);
        open.push(index);
      }
    });
  }
  return [...found];
}

/** The coordinates with the bond, angle or dihedral of `atoms` at `value` (angstrom or degrees). */
export function scanned(geometry: Geometry, type: Scan["type"], atoms: number[], value: number): Vector[] {
  const at = geometry.coordinates_angstrom;
  const [a, b, c, d] = atoms.map((index) => at[index]!) as [Vector, Vector, Vector, Vector];
  if (type === "bond") {
    const direction = unit(minus(b, a));
    const step = value - Math.hypot(...minus(b, a));
    const moving = movers(at, atoms[0]!, atoms[1]!);
    return at.map((point, index) => (moving.includes(index) ? plus(point, direction, step) : point));
  }
  const radians = (value * Math.PI) / 180;
  if (type === "angle") {
    const [left, right] = [minus(a, b), minus(c, b)];
    const now = Math.acos(Math.max(-1, Math.min(1, dot(unit(left), unit(right)))));
    const axis = unit(cross(left, right));
    const moving = movers(at, atoms[1]!, atoms[2]!);
    return at.map((point, index) => (moving.includes(index) ? turned(point, b, axis, radians - now) : point));
  }
  const axis = unit(minus(c, b));
  const [first, second] = [cross(minus(b, a), axis), cross(axis, minus(d, c))];
  const now = Math.atan2(dot(cross(first, second), axis), dot(first, second));
  const moving = movers(at, atoms[1]!, atoms[2]!).filter((index) => index !== atoms[2]);
  return at.map((point, index) => (moving.includes(index) ? turned(point, c, axis, radians - now) : point));
}
