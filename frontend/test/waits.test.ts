import assert from "node:assert/strict";
import { test } from "node:test";
import { left, waitsOf, type Range } from "../src/waits";

test("what a running work may still take is its estimate less the time it has run", () => {
  assert.deepEqual(left([10, 30], 5), [5, 25]);
  assert.deepEqual(left([10, 30], 20), [0, 10]);
  assert.equal(left([10, 30], 31), null, "it takes longer than was said: nothing is promised any more");
  assert.equal(left(null, 1), null);
});

test("one slot serves the line in order", () => {
  assert.deepEqual(waitsOf(1, [[5, 10]], [[1, 2], [3, 4], [0, 1]]), [[5, 10], [6, 12], [9, 16]]);
});

test("an idle slot takes the first at once, and slots share the rest", () => {
  assert.deepEqual(waitsOf(2, [], [[4, 8], [1, 2], [9, 9]]), [[0, 0], [0, 0], [1, 2]]);
});

test("behind a work without an estimate nothing is said", () => {
  const waits = waitsOf(1, [[1, 1]], [[1, 2], null, [1, 2], [1, 2]]);
  assert.deepEqual(waits, [[1, 1], [2, 3], null, null]);
  assert.deepEqual(waitsOf(1, [null], [[1, 2]]), [null]);
  assert.deepEqual(waitsOf(0, [], [[1, 2]]), [null], "without a slot nobody's turn comes");
});

test("no wait is shorter than that of the one ahead", () => {
  const line: Range[] = Array.from({ length: 40 }, (_, at) => [(at * 7) % 5, ((at * 7) % 5) + 3]);
  const waits = waitsOf(3, [[2, 4], [1, 9]], line) as Range[];
  waits.forEach((wait, at) => assert.ok(wait[0] <= wait[1] && (at === 0 || (wait[0] >= waits[at - 1]![0] && wait[1] >= waits[at - 1]![1]))));
});
