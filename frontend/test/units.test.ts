import assert from "node:assert/strict";
import { test } from "node:test";
import { CHEMICAL_ACCURACY_HARTREE, count, duration, durationRange, energy, EV_PER_HARTREE, fixed, known, lowered, memory, milli, scientific } from "../src/units";

test("energies have eight digits and a true minus sign", () => {
  assert.equal(energy(-1.116684387), "−1.11668439");
  assert.equal(energy(null), "–");
  assert.equal(energy(Number.NaN), "–");
});

test("zero has no sign", () => {
  assert.equal(fixed(-1e-12, 4), "0.0000");
  assert.equal(milli(0), "0.000");
});

test("differences carry their sign, in mEh", () => {
  assert.equal(milli(0.0123456), "+12.346");
  assert.equal(milli(-0.0205857), "−20.586");
});

test("small numbers are written with powers of ten", () => {
  assert.equal(scientific(1.234e-7), "1.2\u2009×\u200910⁻⁷");
  assert.equal(scientific(-2e11, 0), "−2\u2009×\u200910¹¹");
  assert.equal(scientific(0), "0");
});

test("stretches of time", () => {
  const cases: [number, string][] = [[0.414, "0.41 s"], [9.94, "9.9 s"], [59.4, "59 s"], [185, "3 min 05 s"], [7800, "2 h 10 min"], [93_600, "1 d 2 h"], [-1, "0 s"]];
  for (const [seconds, text] of cases) assert.equal(duration(seconds), text);
  assert.equal(durationRange([0.01, 0.02]), "about 0.1 s");
  assert.equal(durationRange([0.2, 75]), "0.2 s to 1 min 15 s");
});

test("counts, memory, names and formulas", () => {
  assert.equal(count(12_345_678), "12\u2009345\u2009678");
  assert.equal(memory(1536), "1.5 GB");
  assert.equal(known("ccsd(t)"), "CCSD(T)");
  assert.equal(known("max_iterations"), "Max iterations");
  assert.equal(lowered("C2H6O"), "C₂H₆O");
});

test("constants are CODATA 2018's", () => {
  assert.ok(Math.abs(EV_PER_HARTREE - 27.211386245988) < 1e-9);
  assert.ok(Math.abs(CHEMICAL_ACCURACY_HARTREE - 0.00159360) < 1e-7);
});
