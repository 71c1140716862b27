import assert from "node:assert/strict";
import { test } from "node:test";
import { asCurl, asPython, formulaOf, methodText, moleculeText, pythonLiteral, titleOf, trimmed, xyzText } from "../src/spec";
import type { Vector } from "../src/types";

test("formulas are in Hill order", () => {
  assert.equal(formulaOf(["O", "H", "C", "H", "H", "H"]), "CH4O");
  assert.equal(formulaOf(["O", "H", "H"]), "H2O");
  assert.equal(formulaOf(["Na", "Cl"]), "ClNa");
});

test("a molecule in a few characters, whatever it was given as", () => {
  assert.equal(moleculeText({ library: "H2O" }), "H₂O");
  assert.equal(moleculeText({ smiles: "CCO" }), "CCO");
  assert.equal(moleculeText({ atoms: [{ symbol: "He", position_angstrom: [0, 0, 0] }] }), "He");
  assert.equal(moleculeText({ xyz: "3\nwater\nO 0 0 0.117\nH 0 0.757 -0.467\nH 0 -0.757 -0.467\n" }), "H₂O");
});

test("XYZ text says the number of atoms, one comment, one line an atom, and keeps eight digits", () => {
  const coordinates: Vector[] = [[0, 0, 0], [0, 0, 0.741_400_01]];
  const lines = xyzText({ symbols: ["H", "H"], coordinates_angstrom: coordinates }, "two\nlines").trimEnd().split("\n");
  assert.equal(lines.length, 4);
  assert.equal(lines[0], "2");
  assert.equal(lines[1], "two lines");
  assert.deepEqual(lines[3]!.split(/\s+/), ["H", "0.00000000", "0.00000000", "0.74140001"]);
});

test("what a run is called", () => {
  const spec = { molecule: { library: "H2" }, method: { name: "dft", xc: "b3lyp" }, basis: "6-31g", task: { name: "optimize" } };
  assert.equal(methodText(spec), "DFT B3LYP / 6-31g · Optimise");
  assert.equal(titleOf({ name: "", spec }), "H₂ DFT");
  assert.equal(titleOf({ name: "Mine", spec }), "Mine");
});

test("empty fields are left out, at every depth", () => {
  assert.deepEqual(trimmed({ a: null, b: { c: undefined, d: 0 }, e: [{ f: null }] }), { b: { d: 0 }, e: [{}] });
});

test("JSON is written as Python has it", () => {
  assert.equal(pythonLiteral({ a: true, b: null, c: [1, false], d: 'a "word"' }), '{"a": True, "b": None, "c": [1, False], "d": "a \\"word\\""}');
  const long = pythonLiteral({ molecule: { xyz: "x".repeat(80) }, method: { name: "hf" } });
  assert.ok(long.includes("\n") && long.endsWith("}"));
});

test("copied code holds the address, and a quote in it ends nothing", () => {
  const spec = { name: "it's", molecule: { library: "H2" }, method: { name: "hf" } };
  assert.ok(asPython(spec, "http://here:8000").includes('Client("http://here:8000")'));
  assert.ok(asCurl(spec, "http://here:8000").includes("it'\\''s"));
});
