// Normal modes: a table, and the chosen one as a motion of the structure above.

import { useEffect, useState } from "preact/hooks";
import type { Frequencies, Geometry, Vector } from "../../types";
import { fixed } from "../../units";
import { Facts } from "../../ui/parts";

const REACH_ANGSTROM = 0.35;
const TURN_S = 1.1;

/** The atoms displaced along a mode by `part` of its reach. */
export function displaced(coordinates: Vector[], mode: Vector[], part: number): Vector[] {
  const longest = Math.max(...mode.map((step) => Math.hypot(...step))) || 1;
  const factor = (REACH_ANGSTROM * part) / longest;
  return coordinates.map((at, index) => at.map((value, axis) => value + factor * mode[index]![axis]!) as Vector);
}

export function Vibrations({ frequencies, geometry, move }: { frequencies: Frequencies; geometry: Geometry | null; move: (coordinates: Vector[] | null) => void }) {
  const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  const [chosen, setChosen] = useState<number | null>(null);
  useEffect(() => {
    if (chosen === null || !geometry) return;
    const mode = frequencies.modes[chosen]!;
    if (still) {
      move(displaced(geometry.coordinates_angstrom, mode, 1));
      return () => move(geometry.coordinates_angstrom);
    }
    let frame = 0;
    const start = performance.now();
    const draw = (now: number) => {
      move(displaced(geometry.coordinates_angstrom, mode, Math.sin((2 * Math.PI * (now - start)) / (1000 * TURN_S))));
      frame = requestAnimationFrame(draw);
    };
    frame = requestAnimationFrame(draw);
    return () => {
      cancelAnimationFrame(frame);
      move(geometry.coordinates_angstrom);
    };
  }, [chosen, geometry]);

  return (
    <div class="split">
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th scope="col">Mode</th>
              <th scope="col" class="num">
                Wavenumber / cm⁻¹
              </th>
              <th scope="col" class="num">
                Intensity / (km/mol)
              </th>
              <th scope="col" class="num">
                Reduced mass / u
              </th>
              <th scope="col">
                <span class="visually-hidden">Motion</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {frequencies.wavenumbers_cm.map((wavenumber, index) => (
              <tr key={index}>
                <td>{index + 1}</td>
                <td class={wavenumber < 0 ? "num bad" : "num"}>{wavenumber < 0 ? `${fixed(-wavenumber, 1)} i` : fixed(wavenumber, 1)}</td>
                <td class="num">{fixed(frequencies.ir_km_mol[index], 2)}</td>
                <td class="num">{fixed(frequencies.reduced_masses_amu[index], 3)}</td>
                <td class="num">
                  <button type="button" class="button small" aria-pressed={chosen === index} aria-label={`${chosen === index ? "Stop" : "Show"} mode ${index + 1}`} onClick={() => setChosen(chosen === index ? null : index)}>
                    {chosen === index ? "Stop" : "Show"}
                  </button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <Facts
        facts={[
          ["At", `${fixed(frequencies.temperature_k, 2)} K, ${fixed(frequencies.pressure_pa / 1000, 3)} kPa`],
          ["Point group", frequencies.point_group],
          ["Zero-point energy", `${fixed(frequencies.zpe_hartree, 6)} Eh`],
          ["Enthalpy", `${fixed(frequencies.enthalpy_hartree, 6)} Eh`],
          ["Entropy", `${fixed(frequencies.entropy_hartree_per_k * 2625499.63948, 2)} J/(mol K)`],
          ["Gibbs energy", `${fixed(frequencies.gibbs_hartree, 6)} Eh`],
          ["Heat capacity", `${fixed(frequencies.heat_capacity_hartree_per_k * 2625499.63948, 2)} J/(mol K)`],
        ]}
      />
    </div>
  );
}
