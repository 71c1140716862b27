// How long those in the line may wait, from what the server estimates for each work; where an estimate fails, nothing is said.

export type Range = readonly [low: number, high: number];

/** What a running work may still take: its estimate less the time it has run; null once it has run longer than estimated. */
export function left(estimate: Range | null, elapsed_s: number): Range | null {
  if (estimate === null || elapsed_s > estimate[1]) return null;
  return [Math.max(0, estimate[0] - elapsed_s), estimate[1] - elapsed_s];
}

/** For each in the line, in order, when it may begin: the work ahead shared by the slots; null from the first unknown one on. */
export function waitsOf(slots: number, running: (Range | null)[], line: (Range | null)[]): (Range | null)[] {
  if (slots < 1) return line.map(() => null);
  let known = running.every((range) => range !== null);
  const free = { low: Array.from({ length: slots }, () => 0), high: Array.from({ length: slots }, () => 0) };
  running.slice(0, slots).forEach((range, slot) => {
    free.low[slot] = range?.[0] ?? 0;
    free.high[slot] = range?.[1] ?? 0;
  });
  return line.map((range) => {
    if (!known) return null;
    const wait: Range = [Math.min(...free.low), Math.min(...free.high)];
    if (range === null) known = false;
    else {
      free.low[free.low.indexOf(wait[0])] = wait[0] + range[0];
      free.high[free.high.indexOf(wait[1])] = wait[1] + range[1];
    }
    return wait;
  });
}
