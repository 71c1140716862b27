// What this server is made of, and where its contract is.

import { constant } from "../api";
import type { SystemView } from "../types";
import { moment } from "../units";
import { Facts, Heading, useFetched, useTitle, Waiting } from "../ui/parts";

declare const LICENCES: { name: string; version: string; license: string }[];
declare const LICENCE_TEXTS: string;

const NAMES: [string, string][] = [
  ["kanad-server", "kanad-server"],
  ["pyscf", "PySCF"],
  ["rdkit", "RDKit"],
];

/** What ran, in a line for a paper. */
const citation = (versions: Record<string, string>): string =>
  NAMES.filter(([key]) => versions[key])
    .map(([key, name]) => `${name} ${versions[key]}`)
    .join(", ");

export function About(_: { id: string }) {
  useTitle("About");
  const system = useFetched(() => constant<SystemView>("system"), []);
  return (
    <div class="prose">
      <Heading>About</Heading>
      <p>
        kanad-server computes molecules and shows how each computation converges. The same calls that these pages make are open to programs: <a href="/docs">the calls</a>,{" "}
        <a href="/openapi.json">the OpenAPI document</a>.
      </p>
      <h2>Versions</h2>
      {system.value ? <Facts facts={[...Object.entries(system.value.versions), ["running since", moment(system.value.started_at)]]} /> : <Waiting what="versions" error={system.error} />}
      <h2>How to cite</h2>
      <p>
        Name the server with its version, and the programs that computed: each run lists their versions under Provenance. Cite the papers of the method and the basis set too; a result is theirs before it is ours.
      </p>
      <pre class="code" tabIndex={0} aria-label="Citation">{system.value ? citation(system.value.versions) : ""}</pre>
      <p>
        PySCF asks for: Q. Sun et al., <cite>Recent developments in the PySCF program package</cite>, J. Chem. Phys. 153, 024109 (2020), <a href="https://doi.org/10.1063/5.0006074">doi:10.1063/5.0006074</a>.
      </p>
      <h2>In these pages</h2>
      <p>
        The texts of <a href={LICENCE_TEXTS} target="_blank">their licences</a>.
      </p>
      <Facts facts={LICENCES.map(({ name, version, license }) => [name, `${version}, ${license}`])} />
    </div>
  );
}
