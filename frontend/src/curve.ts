// What a run has told so far: events in, curves and facts out. Each event counts once, in order, whatever the line does.

import type { Event, StatusName, ErrorBody, Vector } from "./types";

export interface Curve {
  name: string;
  /** Running position: iterations joined over attempts, so that a curve never turns back. */
  x: number[];
  energy: number[];
  residual: (number | null)[];
  iteration: number[];
  attempt: number[];
  time: string[];
}

export interface Frame {
  step: number;
  energy: number;
  gradient: number | null;
  coordinates: Vector[];
}

export interface Line {
  seq: number;
  time: string;
  level: "info" | "warning" | "error" | "status" | "stage";
  text: string;
}

export type Taken = "new" | "old" | "gap";

/** The state of one run, built from its events. */
export class RunLog {
  lastSeq = 0;
  status: StatusName = "queued";
  error: ErrorBody | null = null;
  percent = 0;
  attempt = 1;
  startedAt: string | null = null;
  lastTime: string | null = null;
  stage: { index: number; last: number | null; message: string } | null = null;
  hf: number | null = null;
  curves = new Map<string, Curve>();
  frames: Frame[] = [];
  points: { value: number; energy: number }[] = [];
  states: { index: number; energy: number; excitation: number | null }[] = [];
  lines: Line[] = [];
  /** How many events of an old log are not kept any more. */
  removed = 0;
  /** The curve that was added to last. */
  latest: string | null = null;

  /** Take one event: old ones are skipped, one that leaves a gap is refused so that the caller can ask again. */
  take(event: Event): Taken {
    if (event.seq <= this.lastSeq) return "old";
    // An old log has one `thinned` event in place of many.
    const first = event.type === "thinned" ? event.first_seq : event.seq;
    if (first > this.lastSeq + 1) return "gap";
    this.lastSeq = event.seq;
    this.lastTime = event.time;
    if (event.attempt > this.attempt) this.startAttempt(event.attempt);
    this.apply(event);
    return "new";
  }

  private startAttempt(attempt: number): void {
    this.attempt = attempt;
    this.frames = [];
    this.points = [];
    this.states = [];
    this.stage = null;
    this.error = null;
  }

  private apply(event: Event): void {
    switch (event.type) {
      case "status":
        this.status = event.status;
        this.percent = event.progress;
        if (event.status === "running") this.startedAt = event.time;
        this.error = event.error;
        this.say(event, "status", statusText(event.status, event.attempt, event.error));
        return;
      case "stage":
        this.stage = { index: event.stage, last: event.last_stage, message: event.message };
        if (event.last_stage) this.percent = Math.max(this.percent, (100 * event.stage) / (event.last_stage + 1));
        if (event.message === "HF reference computed") this.hf = event.energy_hartree;
        this.say(event, "stage", event.message);
        return;
      case "convergence":
        this.addPoint(event);
        return;
      case "state":
        this.states.push({ index: event.index, energy: event.energy_hartree, excitation: event.excitation_ev });
        return;
      case "geometry":
        this.frames.push({
          step: event.step,
          energy: event.energy_hartree,
          gradient: event.max_gradient,
          coordinates: event.coordinates_angstrom,
        });
        return;
      case "point":
        this.points.push({ value: event.value, energy: event.energy_hartree });
        return;
      case "log":
        this.say(event, event.level, event.message);
        return;
      case "thinned":
        this.removed += event.removed;
        this.say(event, "info", `Events ${event.first_seq} to ${event.seq} were taken out of this old log`);
    }
  }

  private addPoint(event: Event & { type: "convergence" }): void {
    let curve = this.curves.get(event.series);
    if (curve === undefined) {
      curve = { name: event.series, x: [], energy: [], residual: [], iteration: [], attempt: [], time: [] };
      this.curves.set(event.series, curve);
    }
    const size = curve.x.length;
    const before = size ? curve.x[size - 1]! : 0;
    // A new attempt, or a new stretch of a path, counts from 1 again: go on from where the curve is.
    const step = size ? event.iteration - curve.iteration[size - 1]! : event.iteration;
    curve.x.push(step > 0 ? before + step : before + 1);
    curve.energy.push(event.energy_hartree);
    curve.residual.push(event.residual);
    curve.iteration.push(event.iteration);
    curve.attempt.push(event.attempt);
    curve.time.push(event.time);
    this.latest = event.series;
  }

  private say(event: Event, level: Line["level"], text: string): void {
    this.lines.push({ seq: event.seq, time: event.time, level, text });
  }

  /** The curve that the method is about: not the SCF under it, where there is another one. */
  main(): Curve | null {
    let chosen: Curve | null = null;
    for (const curve of this.curves.values()) if (chosen === null || curve.name !== "scf") chosen = curve;
    return chosen;
  }
}

function statusText(status: StatusName, attempt: number, error: ErrorBody | null): string {
  if (status === "running") return `Running, attempt ${attempt}`;
  if (status === "failed" && error) return `Failed: ${error.message}`;
  return status.charAt(0).toUpperCase() + status.slice(1);
}

/** The values of each curve on one axis; null where a curve has no point. */
export function overlaid(curves: { x: number[]; y: (number | null)[] }[]): { x: number[]; ys: (number | null)[][] } {
  const x = [...new Set(curves.flatMap((curve) => curve.x))].sort((a, b) => a - b);
  const at = new Map(x.map((value, index) => [value, index]));
  const ys = curves.map((curve) => {
    const values: (number | null)[] = x.map(() => null);
    curve.x.forEach((value, index) => (values[at.get(value)!] = curve.y[index] ?? null));
    return values;
  });
  return { x, ys };
}
