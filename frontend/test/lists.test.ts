import assert from "node:assert/strict";
import { test } from "node:test";
import { numberOr } from "../src/ui/options";
import { movers, scanned } from "../src/mol/coordinate";
import { readGrids } from "../src/mol/grid";
import { sparkPath } from "../src/pages/runs";
import { compare, courseOf, matches, merged, type Wanted } from "../src/runs";
import type { Event, Experiment, Geometry } from "../src/types";

const ALL: Wanted = { status: "", method: "", tag: "", campaign: "", q: "", sort: "-created_at" };
const run = (id: string, more: Partial<Experiment> = {}): Experiment =>
  ({ id, name: id, tags: [], status: "running", spec: { molecule: {}, method: { name: "hf" } }, created_at: id, energy_hartree: null, last_seq: 1, queue_position: null, cancel_requested: false, ...more }) as Experiment;

test("news change rows in place, and new runs come in where they belong", () => {
  const rows = [run("3"), run("1")];
  const next = merged(rows, [run("1", { last_seq: 2, status: "completed" }), run("2")], ALL);
  assert.deepEqual(next.map((row) => [row.id, row.status]), [["3", "running"], ["2", "running"], ["1", "completed"]]);
});

test("an answer that is older than what the line has told undoes nothing", () => {
  const rows = [run("1", { last_seq: 5, status: "completed" })];
  assert.equal(merged(rows, [run("1", { last_seq: 2 })], ALL)[0]!.status, "completed");
});

test("a run that no longer fits the filter leaves the list", () => {
  const running = { ...ALL, status: "running" };
  assert.deepEqual(merged([run("1")], [run("1", { last_seq: 2, status: "failed" })], running), []);
});

test("filters: state, method, tag, name", () => {
  const one = run("1", { name: "Water", tags: ["a"] });
  for (const filter of [{ status: "running" }, { method: "hf" }, { tag: "a" }, { q: "wat" }, { q: "1" }]) assert.ok(matches(one, { ...ALL, ...filter }));
  for (const filter of [{ status: "failed" }, { method: "dft" }, { tag: "b" }, { q: "ethanol" }]) assert.ok(!matches(one, { ...ALL, ...filter }));
});

test("runs without a value come last in either direction", () => {
  const rows = [run("1"), run("2", { energy_hartree: -1 }), run("3", { energy_hartree: -2 })];
  assert.deepEqual([...rows].sort(compare("energy_hartree")).map((row) => row.id), ["3", "2", "1"]);
  assert.deepEqual([...rows].sort(compare("-energy_hartree")).map((row) => row.id), ["2", "3", "1"]);
});

test("a spark falls from top to bottom over its whole width", () => {
  const points = sparkPath([-1, -1.1, -1.11], 88, 24)!.slice(1).split("L").map((pair) => pair.split(" ").map(Number));
  assert.deepEqual(points.map(([x]) => x), [0, 44, 88]);
  assert.equal(points[0]![1], 2);
  assert.equal(points[2]![1], 22);
  assert.equal(sparkPath([-1], 88, 24), null);
});

test("the course of a run is its method's, with the mean field to compare with", () => {
  const point = (series: string, energy: number) => ({ type: "convergence", series, energy_hartree: energy }) as Event;
  const events = [point("scf", -1), { type: "stage", message: "HF reference computed", energy_hartree: -1.05 } as Event, point("vqe", -1.1)];
  assert.deepEqual(courseOf(events), { energies: [-1.1], hf: -1.05 });
  assert.deepEqual(courseOf(events.slice(0, 1)), { energies: [-1], hf: null });
});

test("numbers are taken as people type them; what is none is left for the server to refuse", () => {
  assert.equal(numberOr(" 1,5 "), 1.5);
  assert.equal(numberOr("−0.3"), -0.3);
  assert.equal(numberOr(""), undefined);
  assert.equal(numberOr("many"), "many");
});

const WATER: Geometry = { symbols: ["O", "H", "H"], coordinates_angstrom: [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]] };
const distance = (a: number[], b: number[]) => Math.hypot(a[0]! - b[0]!, a[1]! - b[1]!, a[2]! - b[2]!);

test("a scanned bond and angle have the value asked for, and nothing else moves", () => {
  const bond = scanned(WATER, "bond", [0, 1], 1.5);
  assert.ok(Math.abs(distance(bond[0]!, bond[1]!) - 1.5) < 1e-12);
  assert.deepEqual(bond[2], WATER.coordinates_angstrom[2]);
  const bent = scanned(WATER, "angle", [1, 0, 2], 90);
  const [a, b] = [bent[1]!, bent[2]!];
  assert.ok(Math.abs(a[0] * b[0] + a[1] * b[1] + a[2] * b[2]) < 1e-9, "a right angle");
  assert.deepEqual(movers(WATER, 0, 1), [1]);
});

test("a dihedral turns everything behind its bond, and has the value asked for", () => {
  // Hydrogen peroxide, flat: atoms H O O H.
  const flat: Geometry = { symbols: ["H", "O", "O", "H"], coordinates_angstrom: [[-0.3, 0.9, 0], [0, 0, 0], [1.45, 0, 0], [1.75, 0.9, 0]] };
  const turned = scanned(flat, "dihedral", [0, 1, 2, 3], 90);
  assert.deepEqual(turned.slice(0, 3), flat.coordinates_angstrom.slice(0, 3));
  assert.ok(Math.abs(turned[3]![1]) < 1e-9 && Math.abs(Math.abs(turned[3]![2]) - 0.9) < 1e-9, "a quarter turn");
  const twice = scanned({ ...flat, coordinates_angstrom: scanned(flat, "dihedral", [0, 1, 2, 3], 60) }, "dihedral", [0, 1, 2, 3], 90);
  assert.ok(distance(twice[3]!, turned[3]!) < 1e-9, "the same from wherever it was");
  assert.deepEqual(movers(flat, 1, 2).sort(), [2, 3]);
});

test("an orbital's grid is read from its bytes", () => {
  const header = JSON.stringify({ origin_bohr: [0, 0, 0], spacing_bohr: [1, 1, 1], shape: [1, 2, 2], orbitals: [{ number: 5, energy_hartree: -0.5, occupation: 2 }] });
  const values = new Float32Array([0.1, 0.2, 0.3, 0.4]);
  const head = new TextEncoder().encode(`${header}\n`);
  const buffer = new Uint8Array(head.length + values.byteLength);
  buffer.set(head);
  buffer.set(new Uint8Array(values.buffer), head.length);
  const { volume } = readGrids(buffer.buffer)[0]!;
  assert.deepEqual([...volume.data], [...values]);
  assert.deepEqual([volume.size.x, volume.size.y, volume.size.z], [1, 2, 2]);
});
