// One run as its page sees it: the experiment, its log so far, its result.

import { useEffect, useRef, useState } from "preact/hooks";
import { get, isAbort, Problem } from "./api";
import { RunLog } from "./curve";
import { follow } from "./live";
import { TERMINAL, type Event, type Experiment, type Geometry, type Result } from "./types";
import { say } from "./ui/parts";

export interface RunState {
  experiment: Experiment | null;
  log: RunLog;
  result: Result | null;
  error: unknown;
  /** Grows with the log, once a frame. */
  version: number;
  /** Ask for the experiment again and follow it anew, as after a retry. */
  again: () => void;
}

const REFRESH_MS = 4_000;

export function useRun(id: string): RunState {
  const log = useRef(new RunLog());
  const [experiment, setExperiment] = useState<Experiment | null>(null);
  const [result, setResult] = useState<Result | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [version, setVersion] = useState(0);
  const [round, setRound] = useState(0);

  useEffect(() => {
    const abort = new AbortController();
    let frame = 0;
    let stop = () => {};
    const refresh = async () => {
      const fresh = await get<Experiment>(`experiments/${encodeURIComponent(id)}`, abort.signal);
      setExperiment(fresh);
      if (fresh.status === "completed") setResult(await get<Result>(`experiments/${id}/result`, abort.signal));
      return fresh;
    };
    const quietly = (work: Promise<unknown>) => void work.catch((problem: unknown) => isAbort(problem) || (problem instanceof Problem && problem.status === 0) || setError(problem));

    const take = (events: Event[]): boolean => {
      let whole = true;
      for (const event of events) {
        const taken = log.current.take(event);
        if (taken === "gap") whole = false;
        if (taken === "new" && event.type === "status") {
          say(`Run ${event.status}`);
          quietly(refresh());
        }
      }
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        setVersion((before) => before + 1);
      });
      return whole;
    };

    refresh().then(
      () => {
        if (abort.signal.aborted) return;
        stop = follow(id, () => log.current.lastSeq, take, () => quietly(refresh()));
      },
      (problem: unknown) => isAbort(problem) || setError(problem),
    );
    // What no event tells: the place in the line, and when it may be done.
    const timer = window.setInterval(() => {
      if (!TERMINAL.has(log.current.status) && !document.hidden) quietly(refresh());
    }, REFRESH_MS);
    return () => {
      abort.abort();
      stop();
      window.clearInterval(timer);
      cancelAnimationFrame(frame);
    };
  }, [id, round]);

  return { experiment, log: log.current, result, error, version, again: () => setRound((before) => before + 1) };
}

/** The run's structure: the result's, the last frame's, or what the spec resolves to. */
export function useGeometry(experiment: Experiment | null, result: Result | null, parse: (experiment: Experiment) => Promise<Geometry>): Geometry | null {
  const [parsed, setParsed] = useState<Geometry | null>(null);
  const id = experiment?.id;
  useEffect(() => {
    if (experiment && !result?.geometry) parse(experiment).then(setParsed, () => setParsed(null));
  }, [id, Boolean(result?.geometry)]);
  const found = result?.geometry ?? parsed;
  return found?.symbols.length ? found : null;
}
