// What runs now, and what waits.

import { useEffect, useState } from "preact/hooks";
import { get, isAbort } from "../api";
import { methodText, titleOf } from "../spec";
import type { Experiment, SystemView } from "../types";
import { memory } from "../units";
import { Heading, useTitle, Waiting } from "../ui/parts";

const EVERY_MS = 2_000;
const LONGEST = 100;

interface Now {
  system: SystemView;
  waiting: Experiment[];
}

async function look(signal: AbortSignal): Promise<Now> {
  const [system, queued] = await Promise.all([get<SystemView>("system", signal), get<{ items: Experiment[] }>(`experiments?status=queued&sort=created_at&limit=${LONGEST}`, signal)]);
  return { system, waiting: queued.items.sort((a, b) => (a.queue_position ?? Infinity) - (b.queue_position ?? Infinity)) };
}

export function Queue(_: { id: string }) {
  useTitle("Queue");
  const [now, setNow] = useState<Now | null>(null);
  const [error, setError] = useState<unknown>(null);
  useEffect(() => {
    const abort = new AbortController();
    let timer = 0;
    const again = () =>
      void look(abort.signal)
        .then((next) => (setNow(next), setError(null)))
        .catch((problem: unknown) => isAbort(problem) || setError(problem))
        .finally(() => abort.signal.aborted || (timer = window.setTimeout(again, EVERY_MS)));
    again();
    return () => (abort.abort(), window.clearTimeout(timer));
  }, []);
  return (
    <div class="prose">
      <Heading>Queue</Heading>
      {error || !now ? <Waiting what="the queue" error={error} /> : null}
      {now ? <Line now={now} /> : null}
    </div>
  );
}

function Line({ now: { system, waiting } }: { now: Now }) {
  return (
    <>
      <h2>Slots</h2>
      <table>
        <tbody>
          {system.slots.map((slot) => (
            <tr key={slot.name}>
              <th scope="row">{slot.name}</th>
              <td>{slot.experiment_id ? <a href={`/runs/${slot.experiment_id}`}>{slot.state}</a> : slot.state}</td>
              <td class="num">{slot.memory_mb === null ? "" : memory(slot.memory_mb)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <h2>Waiting{system.queue_length ? `: ${system.queue_length}` : ""}</h2>
      {waiting.length ? null : <p class="muted">Nothing waits.</p>}
      <table>
        <tbody>
          {waiting.map((one) => (
            <tr key={one.id}>
              <td class="num muted">{one.queue_position ?? "–"}</td>
              <td>
                <a href={`/runs/${one.id}`}>{titleOf(one)}</a>
              </td>
              <td class="muted">{methodText(one.spec)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}
