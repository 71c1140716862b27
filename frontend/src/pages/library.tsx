// The molecules that the server knows by name.

import { constant } from "../api";
import type { LibraryMolecule } from "../types";
import { lowered } from "../units";
import { Heading, useFetched, useTitle, Waiting } from "../ui/parts";

export function Library(_: { id: string }) {
  useTitle("Library");
  const library = useFetched(() => constant<{ items: LibraryMolecule[] }>("molecules"), []);
  return (
    <>
      <div class="head">
        <Heading>Library</Heading>
      </div>
      {library.value ? <Table items={library.value.items} /> : <Waiting what="molecules" error={library.error} />}
    </>
  );
}

function Table({ items }: { items: LibraryMolecule[] }) {
  return (
    <div class="scroll-x">
      <table class="library">
        <thead>
          <tr>
            <th scope="col">Molecule</th>
            <th scope="col">Name</th>
            <th scope="col" class="source">
              Geometry from
            </th>
            <th scope="col">
              <span class="visually-hidden">Use</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {items.map((item) => (
            <tr key={item.name}>
              <th scope="row">{lowered(item.name)}</th>
              <td>
                {item.title}
                <span class="small muted under">{item.source}</span>
              </td>
              <td class="small muted source">{item.source}</td>
              <td>
                <a href={`/new?library=${encodeURIComponent(item.name)}`} aria-label={`Use ${item.title}`}>
                  Use
                </a>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
