// Orbital energies and electronic states as level diagrams, and as tables.

import type { ElectronicState, Orbitals, Result } from "../../types";
import { energy, EV_PER_HARTREE, fixed } from "../../units";
import { homoOf, orbitalName } from "../orbitals";

export function Levels({ result }: { result: Result; file: string }) {
  const states = result.states ?? [];
  return (
    <div class="split">
      {result.orbitals ? <OrbitalLevels orbitals={result.orbitals} /> : null}
      {states.length > 1 ? <StateLevels states={states} /> : null}
    </div>
  );
}

const AROUND = 8;

interface Level {
  at: number;
  filling: number;
  name: string;
}

function levelsOf(energies: number[], fillings: number[], homo: number): Level[] {
  return energies
    .map((at, index) => ({ at: at * EV_PER_HARTREE, filling: fillings[index] ?? 0, name: orbitalName(index + 1, homo) }))
    .slice(Math.max(0, homo - AROUND), homo + AROUND);
}

function OrbitalLevels({ orbitals }: { orbitals: Orbitals }) {
  const homo = homoOf(orbitals);
  const alpha = levelsOf(orbitals.energies_hartree, orbitals.occupations, homo);
  const beta = orbitals.beta_energies_hartree ? levelsOf(orbitals.beta_energies_hartree, orbitals.beta_occupations ?? [], (orbitals.beta_occupations ?? []).filter((filling) => filling > 0.5).length) : null;
  return (
    <section>
      <h3>Orbital energies</h3>
      <Diagram label="Orbital energies in electronvolt" columns={beta ? [alpha, beta] : [alpha]} unit="eV" />
      <details>
        <summary>Show data</summary>
        <table>
          <thead>
            <tr>
              <th scope="col">Orbital</th>
              <th scope="col" class="num">
                Energy / Eh
              </th>
              <th scope="col" class="num">
                Energy / eV
              </th>
              <th scope="col" class="num">
                Occupation
              </th>
            </tr>
          </thead>
          <tbody>
            {orbitals.energies_hartree.map((value, index) => (
              <tr key={index}>
                <td>
                  {index + 1} <span class="muted">{orbitalName(index + 1, homo)}</span>
                </td>
                <td class="num">{fixed(value, 6)}</td>
                <td class="num">{fixed(value * EV_PER_HARTREE, 3)}</td>
                <td class="num">{fixed(orbitals.occupations[index], 4)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </details>
    </section>
  );
}

function StateLevels({ states }: { states: ElectronicState[] }) {
  const lowest = states[0]!.energy_hartree;
  const levels = states.map((state) => ({ at: state.excitation_ev ?? (state.energy_hartree - lowest) * EV_PER_HARTREE, filling: 0, name: `${state.index}${state.label ? ` ${state.label}` : ""}` }));
  return (
    <section>
      <h3>Electronic states</h3>
      <Diagram label="Excitation energies in electronvolt" columns={[levels]} unit="eV" />
      <div class="scroll" tabIndex={0} role="region" aria-label="Electronic states">
        <table>
          <thead>
            <tr>
              <th scope="col">State</th>
              <th scope="col" class="num">
                Energy / Eh
              </th>
              <th scope="col" class="num">
                Excitation / eV
              </th>
              <th scope="col" class="num">
                f
              </th>
              <th scope="col" class="num">
                ⟨S²⟩
              </th>
            </tr>
          </thead>
          <tbody>
            {states.map((state) => (
              <tr key={state.index}>
                <td class="nowrap">
                  {state.index} <span class="muted">{state.label}</span>
                </td>
                <td class="num">{energy(state.energy_hartree)}</td>
                <td class="num">{fixed(state.excitation_ev, 4)}</td>
                <td class="num">{fixed(state.oscillator_strength, 4)}</td>
                <td class="num">{fixed(state.s_squared, 3)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

const WIDTH = 420;
const HEIGHT = 300;
const LABEL_GAP = 15;

/** Levels from low to high; names that would overlap are pushed apart and tied to their level by a thin line. */
function Diagram({ label, columns, unit }: { label: string; columns: Level[][]; unit: string }) {
  const all = columns.flat().map((level) => level.at);
  const low = Math.min(...all);
  const high = Math.max(...all);
  const y = (at: number) => HEIGHT - 18 - ((at - low) / (high - low || 1)) * (HEIGHT - 36);
  const ticks = niceTicks(low, high);
  const room = (WIDTH - 60) / columns.length;
  return (
    <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={label} style={{ width: "100%", maxWidth: "34rem", height: "auto", margin: "0.6rem 0" }} font-size="11" fill="var(--ink-3)">
      {ticks.map((tick) => (
        <g key={tick}>
          <line x1="48" x2={WIDTH} y1={y(tick)} y2={y(tick)} stroke="var(--line)" />
          <text x="42" y={y(tick) + 4} text-anchor="end">
            {fixed(tick, Math.abs(ticks[1]! - ticks[0]!) < 1 ? 1 : 0)}
          </text>
        </g>
      ))}
      <text x="0" y="11">
        {unit}
      </text>
      {columns.map((levels, column) => {
        const left = 64 + column * room;
        const places = apart(levels.map((level) => y(level.at)));
        return levels.map((level, index) => (
          <g key={`${column} ${index}`}>
            <line x1={left} x2={left + 64} y1={y(level.at)} y2={y(level.at)} stroke={level.filling > 0.5 ? "var(--accent)" : "var(--ink-3)"} stroke-width={level.filling > 0.5 ? 2.2 : 1.2} />
            <path d={`M${left + 67} ${y(level.at)}L${left + 82} ${places[index]}`} stroke="var(--line-2)" fill="none" />
            <text x={left + 86} y={places[index]! + 4} fill="var(--ink-2)">
              {level.name} {fixed(level.at, 2)}
            </text>
          </g>
        ));
      })}
    </svg>
  );
}

/** Heights at least a line apart, each as near to its own as that allows; given from low levels (large y) to high. */
export function apart(heights: number[]): number[] {
  const order = heights.map((height, index) => ({ height, index })).sort((a, b) => b.height - a.height);
  const placed = [...heights];
  let free = HEIGHT - 4;
  for (const { height, index } of order) {
    const at = Math.min(height, free);
    placed[index] = at;
    free = at - LABEL_GAP;
  }
  let floor = 10;
  for (const { index } of [...order].reverse()) {
    placed[index] = Math.max(placed[index]!, floor);
    floor = placed[index]! + LABEL_GAP;
  }
  return placed;
}

function niceTicks(low: number, high: number): number[] {
  const rough = (high - low) / 5 || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough) ?? rough;
  const ticks = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high + 1e-9; tick += step) ticks.push(tick);
  return ticks.length > 1 ? ticks : [low, high];
}
