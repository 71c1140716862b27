// What this server is made of, and where its contract is.

import { constant } from "../api";
import type { SystemView } from "../types";
import { moment } from "../units";
import { Facts, Heading, useFetched, useTitle, Waiting } from "../ui/parts";

declare const LICENCES: { name: string; version: string; license: string }[];
declare const LICENCE_TEXTS: string;

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
      <h2>In these pages</h2>
      <p>
        The texts of <a href={LICENCE_TEXTS} target="_blank">their licences</a>.
      </p>
      <Facts facts={LICENCES.map(({ name, version, license }) => [name, `${version}, ${license}`])} />
    </div>
  );
}
