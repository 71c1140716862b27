// How a molecule is looked at first: from where it is broadest, as it is drawn in books.

import type { Vector } from "../types";

type Matrix = [Vector, Vector, Vector];
type Quaternion = [number, number, number, number];

/** The turn (x, y, z, w) that lays the longest extent of the points along x and the shortest towards the viewer. */
export function broadside(points: Vector[]): Quaternion {
  const axes = principalAxes(points);
  const [x, y] = [axes[0], axes[1]];
  const z: Vector = [x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2], x[0] * y[1] - x[1] * y[0]];
  return quaternionOf([x, y, z]);
}

/** Unit vectors from the longest extent to the shortest (Jacobi rotations of the second moments). */
export function principalAxes(points: Vector[]): Matrix {
  const centre = [0, 1, 2].map((axis) => points.reduce((sum, point) => sum + point[axis]!, 0) / points.length);
  const a = [0, 1, 2].map((row) => [0, 1, 2].map((column) => points.reduce((sum, point) => sum + (point[row]! - centre[row]!) * (point[column]! - centre[column]!), 0)));
  const v = [[1, 0, 0], [0, 1, 0], [0, 0, 1]];
  for (let sweep = 0; sweep < 12; sweep++)
    for (const [p, q] of [[0, 1], [0, 2], [1, 2]] as const) {
      if (Math.abs(a[p]![q]!) < 1e-12) continue;
      const angle = 0.5 * Math.atan2(2 * a[p]![q]!, a[q]![q]! - a[p]![p]!);
      const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
      const turn = (m: number[][]) => {
        for (const row of m) [row[p], row[q]] = [cos * row[p]! - sin * row[q]!, sin * row[p]! + cos * row[q]!];
      };
      turn(a);
      for (let k = 0; k < 3; k++) [a[p]![k], a[q]![k]] = [cos * a[p]![k]! - sin * a[q]![k]!, sin * a[p]![k]! + cos * a[q]![k]!];
      turn(v);
    }
  return [0, 1, 2]
    .sort((left, right) => a[right]![right]! - a[left]![left]!)
    .map((column) => v.map((row) => row[column]!) as Vector) as Matrix;
}

/** The unit quaternion of a rotation matrix, given by its rows. */
function quaternionOf([[a, b, c], [d, e, f], [g, h, i]]: Matrix): Quaternion {
  const w = Math.sqrt(Math.max(0, 1 + a + e + i)) / 2;
  const x = (Math.sqrt(Math.max(0, 1 + a - e - i)) / 2) * (Math.sign(h - f) || 1);
  const y = (Math.sqrt(Math.max(0, 1 - a + e - i)) / 2) * (Math.sign(c - g) || 1);
  const z = (Math.sqrt(Math.max(0, 1 - a - e + i)) / 2) * (Math.sign(d - b) || 1);
  const length = Math.hypot(x, y, z, w) || 1;
  return [x / length, y / length, z / length, w / length];
}
