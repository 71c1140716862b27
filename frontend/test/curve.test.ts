import assert from "node:assert/strict";
import { test } from "node:test";
import { overlaid, RunLog } from "../src/curve";
import type { Event } from "../src/types";

let seq = 0;
const base = (attempt = 1) => ({ experiment_id: "one", attempt, seq: ++seq, time: "2026-01-01T00:00:00.000Z" });
const status = (name: "queued" | "running" | "completed", attempt = 1): Event => ({ ...base(attempt), type: "status", status: name, progress: 0, energy_hartree: null, error: null });
const point = (iteration: number, energy: number, attempt = 1, series = "scf"): Event => ({ ...base(attempt), type: "convergence", series, iteration, energy_hartree: energy, delta_hartree: null, residual: 10 ** -iteration });

test("each event counts once, and one that leaves a gap is refused", () => {
  seq = 0;
  const log = new RunLog();
  const [first, second, third] = [status("queued"), status("running"), point(1, -1)];
  assert.equal(log.take(first), "new");
  assert.equal(log.take(third), "gap");
  assert.equal(log.take(first), "old");
  assert.equal(log.take(second), "new");
  assert.equal(log.take(third), "new");
  assert.equal(log.take(third), "old");
  assert.equal(log.lastSeq, 3);
  assert.deepEqual(log.curves.get("scf")!.energy, [-1]);
});

test("a second attempt goes on to the right of the first", () => {
  seq = 0;
  const log = new RunLog();
  for (const event of [status("queued"), point(1, -1), point(2, -1.1), status("queued", 2), point(1, -1, 2), point(2, -1.1, 2)]) log.take(event);
  const curve = log.curves.get("scf")!;
  assert.deepEqual(curve.x, [1, 2, 3, 4]);
  assert.deepEqual(curve.iteration, [1, 2, 1, 2]);
  assert.deepEqual(curve.attempt, [1, 1, 2, 2]);
});

test("left-out iterations keep their place", () => {
  seq = 0;
  const log = new RunLog();
  for (const event of [point(1, -1), point(5, -1.2), point(6, -1.3)]) log.take(event);
  assert.deepEqual(log.curves.get("scf")!.x, [1, 5, 6]);
});

test("the method's own series is the main one, not the SCF under it", () => {
  seq = 0;
  const log = new RunLog();
  for (const event of [point(1, -1), point(1, -1.1, 1, "vqe"), point(2, -1.12, 1, "vqe")]) log.take(event);
  assert.equal(log.main()!.name, "vqe");
  assert.equal(log.latest, "vqe");
});

test("one thinned event stands for all that were taken out, also for who had seen some of them", () => {
  const thinned = (first: number, last: number): Event => ({ ...base(), seq: last, type: "thinned", first_seq: first, removed: last - first + 1, thinned_at: "2026-02-01T00:00:00.000Z" });
  seq = 0;
  const fresh = new RunLog();
  for (const event of [status("queued"), point(1, -1)]) fresh.take(event);
  assert.equal(fresh.take(thinned(3, 90)), "new");
  seq = 90;
  assert.equal(fresh.take(point(90, -1.2)), "new");
  assert.deepEqual(fresh.curves.get("scf")!.x, [1, 90]);
  assert.match(fresh.lines.at(-1)!.text, /3 to 90/);

  seq = 0;
  const halfway = new RunLog();
  for (const event of [status("queued"), point(1, -1), point(2, -1.1), point(3, -1.15)]) halfway.take(event);
  assert.equal(halfway.take(thinned(3, 90)), "new", "it begins before what was seen last");
  assert.equal(halfway.lastSeq, 90);
  assert.equal(new RunLog().take(thinned(3, 90)), "gap");
});

test("overlaid curves share one axis, with nothing where one of them has no point", () => {
  const { x, ys } = overlaid([{ x: [1, 2, 5], y: [-1, -1.1, -1.2] }, { x: [2, 3], y: [-2, null] }, { x: [], y: [] }]);
  assert.deepEqual(x, [1, 2, 3, 5]);
  assert.deepEqual(ys, [[-1, -1.1, null, -1.2], [null, -2, null, null], [null, null, null, null]]);
});
