// What a spec says, in words, and as code that posts it again.

import { known, lowered } from "./units";
import type { Geometry, Molecule, Spec } from "./types";

/** A formula in Hill order: carbon, hydrogen, then the alphabet. */
export function formulaOf(symbols: string[]): string {
  const counts = new Map<string, number>();
  for (const symbol of symbols) counts.set(symbol, (counts.get(symbol) ?? 0) + 1);
  const hasCarbon = counts.has("C");
  const rank = (symbol: string) => (hasCarbon && symbol === "C" ? "0" : hasCarbon && symbol === "H" ? "1" : `2${symbol}`);
  return [...counts.keys()]
    .sort((a, b) => (rank(a) < rank(b) ? -1 : 1))
    .map((symbol) => symbol + (counts.get(symbol) === 1 ? "" : String(counts.get(symbol))))
    .join("");
}

/** A molecule in a few characters. */
export function moleculeText(molecule: Molecule): string {
  if (molecule.library) return lowered(molecule.library);
  if (molecule.smiles) return molecule.smiles;
  if (molecule.atoms) return lowered(formulaOf(molecule.atoms.map((atom) => atom.symbol)));
  if (molecule.xyz) return lowered(formulaOf([...molecule.xyz.matchAll(/^\s*([A-Z][a-z]?)\s+[-+.\d]/gm)].map((match) => match[1]!)));
  const orbitals = /NORB\s*=\s*(\d+)/i.exec(molecule.fcidump ?? "")?.[1];
  return orbitals ? `Hamiltonian of ${orbitals} orbitals` : "";
}

/** "CCSD(T) / 6-31g*", with the task where it is not the energy; a Hamiltonian has no basis set. */
export function methodText(spec: Spec): string {
  const basis = spec.basis === "none" ? "" : ` / ${spec.basis ?? "sto-3g"}`;
  const task = spec.task && spec.task.name !== "energy" ? ` · ${known(spec.task.name)}` : "";
  return `${known(spec.method.name)}${spec.method.name === "dft" && spec.method["xc"] ? ` ${String(spec.method["xc"]).toUpperCase()}` : ""}${basis}${task}`;
}

/** What to call an experiment that has no name. */
export const titleOf = (experiment: { name: string; spec: Spec }): string =>
  experiment.name || `${moleculeText(experiment.spec.molecule)} ${known(experiment.spec.method.name)}`;

/** A geometry as XYZ text. */
export function xyzText(geometry: Geometry, comment = ""): string {
  const lines = geometry.symbols.map((symbol, index) => {
    const at = geometry.coordinates_angstrom[index]!.map((value) => value.toFixed(8).padStart(14)).join("");
    return `${symbol.padEnd(3)}${at}`;
  });
  return `${geometry.symbols.length}\n${comment.replaceAll("\n", " ")}\n${lines.join("\n")}\n`;
}

/** Without what is empty: null fields say nothing. */
export function trimmed<T>(value: T): T {
  if (Array.isArray(value)) return value.map(trimmed) as T;
  if (value === null || typeof value !== "object") return value;
  const entries = Object.entries(value).filter(([, inner]) => inner !== null && inner !== undefined);
  return Object.fromEntries(entries.map(([name, inner]) => [name, trimmed(inner)])) as T;
}

const UNTOLD: ReadonlySet<string> = new Set(["name", "tags", "priority", "fresh"]);

/** What a spec asks for, setting by setting: "method.conv_tol" with its value and how to show it. */
export function flatSpec(spec: Spec): Map<string, { value: unknown; text: string }> {
  const { molecule, ...rest } = trimmed(spec);
  const flat = new Map<string, { value: unknown; text: string }>();
  const add = (path: string, value: unknown): void => {
    if (value !== null && typeof value === "object" && !Array.isArray(value)) for (const [name, inner] of Object.entries(value)) add(`${path}.${name}`, inner);
    else flat.set(path.replace(/\.name$/, ""), { value, text: Array.isArray(value) ? JSON.stringify(value) : String(value) });
  };
  const { charge, multiplicity, ...source } = molecule;
  flat.set("molecule", { value: source, text: moleculeText(molecule) });
  add("charge", charge ?? 0);
  if (multiplicity) add("multiplicity", multiplicity);
  for (const [name, value] of Object.entries(rest)) if (!UNTOLD.has(name)) add(name, value);
  return flat;
}

/** JSON as Python writes it. */
export function pythonLiteral(value: unknown, indent = ""): string {
  const inner = `${indent}    `;
  if (value === null || value === undefined) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (Array.isArray(value)) {
    const flat = `[${value.map((item) => pythonLiteral(item, inner)).join(", ")}]`;
    if (flat.length < 90 && !flat.includes("\n")) return flat;
    return `[\n${value.map((item) => `${inner}${pythonLiteral(item, inner)},\n`).join("")}${indent}]`;
  }
  if (typeof value === "object") {
    const pairs = Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}: ${pythonLiteral(item, inner)}`);
    const flat = `{${pairs.join(", ")}}`;
    if (flat.length < 90 && !flat.includes("\n")) return flat;
    return `{\n${pairs.map((pair) => `${inner}${pair},\n`).join("")}${indent}}`;
  }
  return JSON.stringify(value);
}

export function asPython(spec: Spec, origin: string): string {
  return `import asyncio

from kanad_server.client import Client

SPEC = ${pythonLiteral(trimmed(spec))}


async def main() -> None:
    async with Client(${JSON.stringify(origin)}) as client:
        run = await client.submit(SPEC)
        async for event in run.events():
            print(event.seq, type(event).__name__, getattr(event, "energy_hartree", None))
        result = await run.result()
        print(result.energy_hartree, result.converged)


asyncio.run(main())
`;
}

export function asCurl(spec: Spec, origin: string): string {
  const body = JSON.stringify(trimmed(spec)).replaceAll("'", "'\\''");
  return `curl -s ${origin}/api/v1/experiments \\\n  -H 'Content-Type: application/json' -H 'Prefer: wait=30' \\\n  -d '${body}'\n`;
}
