import assert from "node:assert/strict";
import { test } from "node:test";
import { catchUp, load, loadMore, loading, more, rows } from "../src/runs";
import type { Experiment } from "../src/types";

/** A server with so many runs, newest first, 200 to a page. */
const server = { runs: [] as Experiment[], pages: 0 };
const run = (number: number): Experiment =>
  ({ id: String(number).padStart(6, "0"), name: "", tags: [], status: "running", spec: { molecule: {}, method: { name: "hf" } }, created_at: String(number).padStart(6, "0"), energy_hartree: null, last_seq: 1, queue_position: null, cancel_requested: false, campaign: null }) as unknown as Experiment;

globalThis.fetch = (async (path: string) => {
  const at = Number(new URLSearchParams(path.split("?")[1]).get("cursor") ?? 0);
  server.pages += 1;
  return Response.json({ items: server.runs.slice(at, at + 200), next_cursor: at + 200 < server.runs.length ? String(at + 200) : null });
}) as typeof fetch;

const settled = async () => {
  while (loading.peek()) await new Promise((done) => setImmediate(done));
};

test("after a lost line a list of more than 2,000 rows is as the server has it, to its last row", async () => {
  server.runs = Array.from({ length: 3_100 }, (_, index) => run(3_100 - index));
  load({ status: "", method: "", tag: "", campaign: "", q: "", sort: "-created_at" });
  await settled();
  while (more.peek() && rows.peek().length < 2_600) {
    loadMore();
    await settled();
  }
  assert.equal(rows.peek().length, 2_600);
  // While the line is away: one ends far down, one is deleted, two are new.
  server.runs = [run(3_102), run(3_101), ...server.runs.filter((one) => one.id !== "002000").map((one) => (one.id === "000700" ? { ...one, status: "completed" as const, last_seq: 9 } : one))];
  server.pages = 0;
  await catchUp();
  const shown = rows.peek();
  assert.deepEqual(shown.slice(0, 2).map((row) => row.id), ["003102", "003101"]);
  assert.ok(!shown.some((row) => row.id === "002000"), "what was deleted is gone");
  assert.equal(shown.find((row) => row.id === "000700")?.status, "completed");
  assert.equal(new Set(shown.map((row) => row.id)).size, shown.length, "nothing is there twice");
  assert.equal(server.pages, 13, "as far as it was read, and no further");
  loadMore();
  await settled();
  assert.equal(rows.peek().length, shown.length + 200, "and the rest comes by pages as before");
});

test("a flood of new runs is looked at in its first pages only", async () => {
  server.pages = 0;
  await catchUp(2);
  assert.equal(server.pages, 2);
  assert.ok(rows.peek().length > 2_600);
});
