// Runs side by side; differences are to the first one.

import { get } from "../api";
import { place } from "../router";
import { methodText, moleculeText, titleOf } from "../spec";
import type { Experiment } from "../types";
import { duration, energy, milli, secondsBetween } from "../units";
import { Status } from "../ui/icons";
import { Heading, useFetched, useTitle, Waiting } from "../ui/parts";

const MOST = 20;

export function Compare(_: { id: string }) {
  useTitle("Compare");
  const ids = (place.value.query.get("ids") ?? "").split(",").filter(Boolean).slice(0, MOST);
  const runs = useFetched((signal) => Promise.all(ids.map((id) => get<Experiment>(`experiments/${encodeURIComponent(id)}`, signal))), [ids.join()]);
  return (
    <>
      <div class="head">
        <Heading>Compare</Heading>
      </div>
      {!ids.length ? (
        <p>
          Choose two or more among <a href="/">the runs</a>.
        </p>
      ) : runs.value ? (
        <Table runs={runs.value} />
      ) : (
        <Waiting what="the runs" error={runs.error} />
      )}
    </>
  );
}

function Table({ runs }: { runs: Experiment[] }) {
  const first = runs[0]?.energy_hartree ?? null;
  const took = (run: Experiment) => (run.started_at && run.finished_at ? duration(secondsBetween(run.started_at, run.finished_at)) : "–");
  return (
    <div class="scroll-x">
      <table>
        <thead>
          <tr>
            <th scope="col">Run</th>
            <th scope="col">Molecule</th>
            <th scope="col">Method</th>
            <th scope="col">State</th>
            <th scope="col" class="num">
              Energy / Eh
            </th>
            <th scope="col" class="num">
              To the first / mEh
            </th>
            <th scope="col" class="num">
              Time
            </th>
          </tr>
        </thead>
        <tbody>
          {runs.map((run) => (
            <tr key={run.id}>
              <th scope="row">
                <a href={`/runs/${run.id}`}>{titleOf(run)}</a>
              </th>
              <td>{moleculeText(run.spec.molecule)}</td>
              <td>{methodText(run.spec)}</td>
              <td>
                <Status status={run.status} />
              </td>
              <td class="num">{energy(run.energy_hartree)}</td>
              <td class="num">{first === null || run.energy_hartree === null ? "–" : milli(run.energy_hartree - first)}</td>
              <td class="num">{took(run)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
