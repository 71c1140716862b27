import assert from "node:assert/strict";
import { test } from "node:test";
import { RunLog } from "../src/curve";
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
