import assert from "node:assert/strict";
import { test } from "node:test";
import { broaden, line, onAxis, rangeOf, type Shape } from "../src/spectrum";

for (const shape of ["gaussian", "lorentzian"] satisfies Shape[]) {
  test(`a ${shape} has unit height and the full width asked for`, () => {
    assert.equal(line(shape, 0, 0.4), 1);
    assert.ok(Math.abs(line(shape, 0.2, 0.4) - 0.5) < 1e-12);
    assert.ok(Math.abs(line(shape, -0.2, 0.4) - 0.5) < 1e-12);
  });
}

test("each line is as high as its stick, and lines add", () => {
  const sticks = [{ at: 5, height: 0.3 }, { at: 9, height: 0.1 }];
  const [x, y] = broaden(sticks, "gaussian", 0.2, 4, 10, 601);
  assert.equal(x.length, 601);
  assert.ok(Math.abs(y[100]! - 0.3) < 1e-9);
  assert.ok(Math.abs(y[500]! - 0.1) < 1e-9);
  const [, twice] = broaden([...sticks, ...sticks], "gaussian", 0.2, 4, 10, 601);
  assert.ok(Math.abs(twice[100]! - 0.6) < 1e-9);
});

test("the area of a Gaussian is height × width × √(π / ln 2) / 2", () => {
  const [x, y] = broaden([{ at: 0, height: 2 }], "gaussian", 0.5, -5, 5, 4001);
  const area = y.reduce((sum, value) => sum + value, 0) * (x[1]! - x[0]!);
  assert.ok(Math.abs(area - (2 * 0.5 * Math.sqrt(Math.PI / Math.LN2)) / 2) < 1e-6);
});

test("axes: 10 eV is 123.98 nm and 80 655 cm⁻¹", () => {
  assert.equal(onAxis(10, "ev"), 10);
  assert.ok(Math.abs(onAxis(10, "nm") - 123.98419843) < 1e-6);
  assert.ok(Math.abs(onAxis(10, "cm") - 80655.43937) < 1e-3);
});

test("the range shows every stick and stays above zero", () => {
  const [low, high] = rangeOf([{ at: 0.4, height: 1 }, { at: 12, height: 1 }], 0.5);
  assert.ok(low > 0 && low < 0.4);
  assert.ok(high > 12);
});
