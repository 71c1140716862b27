import assert from "node:assert/strict";
import { test } from "node:test";
import { broadside, principalAxes } from "../src/mol/pose";
import type { Vector } from "../src/types";

const dot = (a: Vector, b: Vector) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
/** A vector turned by a unit quaternion (x, y, z, w). */
function turned([x, y, z, w]: [number, number, number, number], [a, b, c]: Vector): Vector {
  const [p, q, r] = [y * c - z * b + w * a, z * a - x * c + w * b, x * b - y * a + w * c];
  return [a + 2 * (y * r - z * q), b + 2 * (z * p - x * r), c + 2 * (x * q - y * p)];
}
const span = (points: Vector[], axis: number) => Math.max(...points.map((point) => point[axis]!)) - Math.min(...points.map((point) => point[axis]!));

// A flat, long shape that lies askew in space: a box of 6 x 3 x 0.5 turned twice.
const corners: Vector[] = [-3, 3].flatMap((x) => [-1.5, 1.5].flatMap((y) => [-0.25, 0.25].map((z): Vector => [x, y, z])));
const askew = corners.map((point) => turned([Math.sin(0.6), 0, 0, Math.cos(0.6)], turned([0, Math.sin(0.4), 0, Math.cos(0.4)], point)));

test("principal axes are orthogonal, of unit length, the longest extent first", () => {
  const axes = principalAxes(askew);
  axes.forEach((a, i) => axes.forEach((b, j) => assert.ok(Math.abs(dot(a, b) - (i === j ? 1 : 0)) < 1e-9)));
  const extents = axes.map((axis) => span(askew.map((point): Vector => [dot(point, axis), 0, 0]), 0));
  [6, 3, 0.5].forEach((length, index) => assert.ok(Math.abs(extents[index]! - length) < 1e-6));
});

test("a molecule is looked at from where it is broadest", () => {
  const shown = askew.map((point) => turned(broadside(askew), point));
  [6, 3, 0.5].forEach((length, axis) => assert.ok(Math.abs(span(shown, axis) - length) < 1e-6, `axis ${axis}: ${span(shown, axis)}`));
});

test("one atom, two atoms and a line have a pose too", () => {
  for (const points of [[[1, 2, 3]], [[0, 0, 0], [0, 0, 1]], [[0, 0, -1], [0, 0, 0], [0, 0, 1]]] as Vector[][]) {
    const turn = broadside(points);
    assert.ok(Math.abs(Math.hypot(...turn) - 1) < 1e-9, String(turn));
    if (points.length > 1) assert.ok(Math.abs(span(points.map((point) => turned(turn, point)), 0) - span(points, 2)) < 1e-9);
  }
});
