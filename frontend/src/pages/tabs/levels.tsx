// Orbital energies and electronic states as level diagrams, and as tables.

import type { ComponentChildren } from "preact";
import { useRef } from "preact/hooks";
import type { ElectronicState, Orbitals, Result } from "../../types";
import { energy, EV_PER_HARTREE, fixed } from "../../units";
import { drawnSvg, Frame, type Data } from "../../ui/frame";
import { useNarrow } from "../../ui/virtual";
import { homoOf, orbitalName } from "../orbitals";

export function Levels({ result, file }: { result: Result; file: string }) {
  const states = result.states ?? [];
  return (
    <div class="split even">
      {result.orbitals ? <OrbitalLevels orbitals={result.orbitals} file={file} /> : null}
      {states.length > 1 ? <StateLevels states={states} file={file} /> : null}
    </div>
  );
}

const AROUND = 8;
/** Occupied levels so far below their neighbour are core levels: they would squeeze all others together. */
const CORE_GAP_EV = 60;

interface Level {
  at: number;
  filling: number;
  name: string;
}

/** The levels around the HOMO, without the core. */
export function levelsOf(energies: number[], fillings: number[], homo: number): Level[] {
  const near = energies
    .map((at, index) => ({ at: at * EV_PER_HARTREE, filling: fillings[index] ?? 0, name: orbitalName(index + 1, homo) }))
    .slice(Math.max(0, homo - AROUND), homo + AROUND)
    .sort((a, b) => a.at - b.at);
  let first = 0;
  near.forEach((level, index) => {
    const next = near[index + 1];
    if (next && next.filling > 0.01 && next.at - level.at > CORE_GAP_EV) first = index + 1;
  });
  return near.slice(first);
}

function OrbitalLevels({ orbitals, file }: { orbitals: Orbitals; file: string }) {
  const homo = homoOf(orbitals);
  const alpha = levelsOf(orbitals.energies_hartree, orbitals.occupations, homo);
  const fillings = orbitals.beta_occupations ?? [];
  const beta = orbitals.beta_energies_hartree ? levelsOf(orbitals.beta_energies_hartree, fillings, fillings.filter((filling) => filling > 0.5).length) : null;
  const spins = (spin: string, energies: number[], occupations: number[]) =>
    energies.map((value, index): (string | number)[] => [...(beta ? [spin] : []), index + 1, orbitalName(index + 1, homo), value, value * EV_PER_HARTREE, occupations[index] ?? 0]);
  const data: Data = {
    columns: [...(beta ? ["spin"] : []), "orbital", "name", "energy / Eh", "energy / eV", "occupation"],
    rows: () => [...spins("alpha", orbitals.energies_hartree, orbitals.occupations), ...(beta ? spins("beta", orbitals.beta_energies_hartree!, fillings) : [])],
  };
  const all = orbitals.energies_hartree.length;
  return (
    <Diagram title="Orbital energies" label="Orbital energies in electronvolt" columns={beta ? [alpha, beta] : [alpha]} names={beta ? ["alpha", "beta"] : []} file={`${file}-orbitals`} data={data}>
      {alpha.length < all ? (
        <p class="small muted">
          {alpha.length} of {all} orbitals are drawn, those around the gap; the data has all.
        </p>
      ) : null}
    </Diagram>
  );
}

function StateLevels({ states, file }: { states: ElectronicState[]; file: string }) {
  const lowest = states[0]!.energy_hartree;
  const excitation = (state: ElectronicState) => state.excitation_ev ?? (state.energy_hartree - lowest) * EV_PER_HARTREE;
  const levels = states.map((state) => ({ at: excitation(state), filling: 0, name: `${state.index}${state.label ? ` ${state.label}` : ""}` }));
  const data: Data = {
    columns: ["state", "label", "energy / Eh", "excitation / eV", "oscillator strength", "S^2"],
    rows: () => states.map((state) => [state.index, state.label ?? null, state.energy_hartree, excitation(state), state.oscillator_strength ?? null, state.s_squared ?? null]),
  };
  return (
    <Diagram title="Electronic states" label="Excitation energies in electronvolt" columns={[levels]} names={[]} file={`${file}-states`} data={data}>
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
    </Diagram>
  );
}

const WIDTH = 420;
/** Of one column of levels on a phone: its names would be too small in more. */
const NARROW_WIDTH = 290;
const HEIGHT = 300;
const LABEL_GAP = 15;

interface DiagramProps {
  title: string;
  label: string;
  columns: Level[][];
  /** What the columns are, where there are several. */
  names: string[];
  file: string;
  data: Data;
  children: ComponentChildren;
}

/** Levels from low to high; names that would overlap are pushed apart and tied to their level by a thin line. */
function Diagram({ title, label, columns, names, file, data, children }: DiagramProps) {
  const drawing = useRef<SVGSVGElement>(null);
  const all = columns.flat().map((level) => level.at);
  const low = Math.min(...all);
  const high = Math.max(...all);
  const y = (at: number) => HEIGHT - 18 - ((at - low) / (high - low || 1)) * (HEIGHT - 36);
  const ticks = niceTicks(low, high);
  const width = useNarrow(440) && columns.length === 1 ? NARROW_WIDTH : WIDTH;
  const room = (width - 60) / columns.length;
  return (
    <Frame label={label} file={file} data={data} tools={<h2>{title}</h2>} picture={() => drawnSvg(drawing.current)}>
    <svg ref={drawing} viewBox={`0 0 ${width} ${HEIGHT}`} role="img" aria-label={label} style={{ width: "100%", maxWidth: "34rem", height: "auto" }} font-size="11" fill="var(--ink-3)">
      {ticks.map((tick) => (
        <g key={tick}>
          <line x1="48" x2={width} y1={y(tick)} y2={y(tick)} stroke="var(--line)" />
          <text x="42" y={y(tick) + 4} text-anchor="end">
            {fixed(tick, Math.abs(ticks[1]! - ticks[0]!) < 1 ? 1 : 0)}
          </text>
        </g>
      ))}
      <text x="0" y="11">
        eV
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
      {names.map((name, column) => (
        <text key={name} x={64 + column * room} y="11">
          {name}
        </text>
      ))}
    </svg>
    {children}
    </Frame>
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
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= 0.8 * rough) ?? rough;
  const ticks = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high + 1e-9; tick += step) ticks.push(tick);
  return ticks.length > 1 ? ticks : [low, high];
}
