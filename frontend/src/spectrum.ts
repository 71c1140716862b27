// Sticks to curves: broadening of excitations and vibrations.

import { CM_PER_EV, NM_EV } from "./units";

export type Shape = "gaussian" | "lorentzian";
export type Axis = "ev" | "nm" | "cm";

export interface Stick {
  /** Position in eV for excitations, in 1/cm for vibrations. */
  at: number;
  height: number;
}

const FWHM_TO_SIGMA = 2 * Math.sqrt(2 * Math.log(2));

/** The height at `x` of a line of unit height and full width `fwhm` around zero. */
export function line(shape: Shape, x: number, fwhm: number): number {
  if (shape === "gaussian") {
    const sigma = fwhm / FWHM_TO_SIGMA;
    return Math.exp((-x * x) / (2 * sigma * sigma));
  }
  const half = fwhm / 2;
  return (half * half) / (x * x + half * half);
}

/** The broadened curve over `points` places from `low` to `high`, each line as high as its stick. */
export function broaden(sticks: Stick[], shape: Shape, fwhm: number, low: number, high: number, points = 800): [number[], number[]] {
  const xs: number[] = [];
  const ys: number[] = [];
  for (let index = 0; index < points; index++) {
    const x = low + ((high - low) * index) / (points - 1);
    let y = 0;
    for (const stick of sticks) y += stick.height * line(shape, x - stick.at, fwhm);
    xs.push(x);
    ys.push(y);
  }
  return [xs, ys];
}

/** An energy in eV on another axis. */
export function onAxis(ev: number, axis: Axis): number {
  return axis === "ev" ? ev : axis === "nm" ? NM_EV / ev : ev * CM_PER_EV;
}

/** A range that shows every stick with room for its width. */
export function rangeOf(sticks: Stick[], fwhm: number): [number, number] {
  const places = sticks.map((stick) => stick.at);
  const low = Math.min(...places);
  const high = Math.max(...places);
  const room = Math.max(4 * fwhm, (high - low) * 0.08);
  return [Math.max(low - room, low * 0.2), high + room];
}
