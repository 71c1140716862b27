// A new run: a molecule on the left, what it looks like in the middle, what to compute on the right.

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { constant, get, isAbort, post, Problem, wordsOf } from "../api";
import { MoleculeView } from "../mol/molecule";
import { navigate, place, setQuery } from "../router";
import { asCurl, asPython, moleculeText, trimmed, xyzText } from "../spec";
import type { Estimate, Experiment, FieldError, Geometry, LibraryMolecule, Methods, Molecule, Options, Parsed, Spec, Vector } from "../types";
import { count, durationRange, known, lowered, memory } from "../units";
import { numberOr, OptionFields } from "../ui/options";
import { attempt, copy, Facts, Field, Heading, Menu, save, Segments, Typed, useFetched, useTitle, Waiting } from "../ui/parts";

const START: Spec = { molecule: { library: "H2" }, basis: "sto-3g", method: { name: "hf" }, task: { name: "energy" } };
const LONGEST_QUERY = 1800;
const NO_BASIS = "none";

/** The spec that the URL asks for: ?spec= (JSON), ?library=, ?smiles=, or ?from= (an experiment). */
function fromQuery(query: URLSearchParams): Spec {
  const text = query.get("spec");
  if (text) {
    try {
      return { ...START, ...(JSON.parse(text) as Spec) };
    } catch {
      return START;
    }
  }
  if (query.get("library")) return { ...START, molecule: { library: query.get("library")! } };
  if (query.get("smiles")) return { ...START, molecule: { smiles: query.get("smiles")! } };
  return START;
}

export function New(_: { id: string }) {
  useTitle("New run");
  const from = place.peek().query.get("from");
  const original = useFetched(() => (from ? get<Experiment>(`experiments/${encodeURIComponent(from)}`) : Promise.resolve(null)), [from]);
  const methods = useFetched(() => constant<Methods>("methods"), []);
  if (!methods.value || (from && !original.value)) return <Waiting what="methods" error={methods.error ?? original.error} />;
  const start = original.value ? copyOf(original.value) : fromQuery(place.peek().query);
  return <Compose methods={methods.value} start={start} />;
}

/** What an experiment asked for, ready to be asked again. */
function copyOf(experiment: Experiment): Spec {
  return trimmed({ ...START, ...experiment.spec, fresh: false });
}

/** Wait until `value` has been still for a while. */
function useStill<T>(value: T, wait_ms: number): T {
  const [still, setStill] = useState(value);
  useEffect(() => {
    const timer = window.setTimeout(() => setStill(value), wait_ms);
    return () => window.clearTimeout(timer);
  }, [value]);
  return still;
}

interface Asked<T> {
  value: T | null;
  problem: Problem | null;
  /** What the answer is about. */
  key: string;
}

/** Ask the server about something that changes while it is typed. The last good answer stays in view meanwhile. */
function useAsked<T>(path: string, body: object): Asked<T> {
  const key = JSON.stringify(body);
  const still = useStill(key, 250);
  const [state, setState] = useState<Asked<T>>({ value: null, problem: null, key: "" });
  useEffect(() => {
    const abort = new AbortController();
    post<T>(path, JSON.parse(still), abort.signal).then(
      (value) => setState({ value, problem: null, key: still }),
      (error: unknown) => {
        if (!isAbort(error)) setState((before) => ({ value: before.value, problem: error instanceof Problem ? error : new Problem(0, "", wordsOf(error)), key: still }));
      },
    );
    return () => abort.abort();
  }, [still]);
  return state;
}

function Compose({ methods, start }: { methods: Methods; start: Spec }) {
  const [spec, setSpec] = useState<Spec>(start);
  const [busy, setBusy] = useState(false);
  const [refused, setRefused] = useState<FieldError[]>([]);
  const change = (part: Partial<Spec>) => {
    setRefused([]);
    setSpec((before) => ({ ...before, ...part }));
  };
  const parsed = useAsked<Parsed>("molecules/parse", spec.molecule);
  const body = useMemo(() => trimmed(spec), [spec]);
  const estimate = useAsked<Estimate>("estimate", body);

  const key = JSON.stringify(body);
  const began = useRef(key).current;
  useEffect(() => {
    const timer = window.setTimeout(() => {
      const same = key === JSON.stringify(trimmed(START));
      if (key.length > LONGEST_QUERY && key === began) return; // the address names it already, by ?from=
      if (place.peek().path === "/new") setQuery({ from: null, library: null, smiles: null, spec: same || key.length > LONGEST_QUERY ? null : key });
    }, 300);
    return () => window.clearTimeout(timer);
  }, [key]);

  const errors = [...refused, ...(parsed.problem?.errors ?? []), ...(estimate.problem?.errors ?? [])];
  const told = (path: string): string | undefined => errors.find((error) => error.path === path || error.path.startsWith(`${path}.`) || error.path.startsWith(`${path}[`))?.message;

  async function run(): Promise<void> {
    if (busy) return;
    setBusy(true);
    try {
      const experiment = await post<Experiment>("experiments", body);
      navigate(`/runs/${experiment.id}`);
    } catch (error) {
      setBusy(false);
      if (error instanceof Problem && error.errors.length) {
        setRefused(error.errors);
        requestAnimationFrame(() => document.querySelector<HTMLElement>("[aria-invalid='true']")?.focus());
      } else throw error;
    }
  }

  const latest = useRef(run);
  latest.current = run;
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        (document.activeElement as HTMLElement | null)?.blur();
        // What was typed last is in the state only after the field has told its change.
        setTimeout(() => void attempt(() => latest.current()), 0);
      }
    };
    window.addEventListener("keydown", press);
    return () => window.removeEventListener("keydown", press);
  }, []);

  const geometry = parsed.value?.geometry ?? null;
  return (
    <>
      <div class="head">
        <Heading>New run</Heading>
        <div class="actions">
          <Menu label="Copy as">
            <li>
              <button type="button" onClick={() => void copy(asPython(body, window.location.origin), "Python")}>
                Copy as Python
              </button>
            </li>
            <li>
              <button type="button" onClick={() => void copy(asCurl(body, window.location.origin), "curl command")}>
                Copy as curl
              </button>
            </li>
          </Menu>
          <button type="button" class="button primary" title="Ctrl+Enter" disabled={busy} onClick={() => void attempt(run)}>
            Run
          </button>
        </div>
      </div>
      <div class="compose">
        <section class="column" aria-label="Molecule">
          <Source molecule={spec.molecule} told={told} change={(molecule) => change({ molecule, basis: basisFor(molecule, spec.basis) })} />
        </section>
        <section class="column middle" aria-label="Structure">
          <Structure molecule={spec.molecule} parsed={parsed.value} stale={parsed.problem !== null} geometry={geometry} told={told} change={(molecule) => change({ molecule })} />
        </section>
        <section class="column" aria-label="Computation">
          <Computation methods={methods} spec={spec} told={told} change={change} />
          <EstimateCard estimate={estimate} stale={estimate.key !== key} />
        </section>
      </div>
    </>
  );
}

/** A Hamiltonian has no basis set, a molecule has one. */
function basisFor(molecule: Molecule, now: string | undefined): string {
  if (molecule.fcidump !== undefined) return NO_BASIS;
  return now === undefined || now === NO_BASIS ? START.basis! : now;
}

// The molecule

type Kind = "library" | "smiles" | "xyz" | "fcidump";
const kindOf = (molecule: Molecule): Kind => (molecule.library ? "library" : typeof molecule.smiles === "string" ? "smiles" : typeof molecule.fcidump === "string" ? "fcidump" : "xyz");
const isHamiltonian = (text: string): boolean => /^\s*&FCI\b/i.test(text);
const only = (molecule: Molecule, source: Partial<Molecule>): Molecule => ({
  ...source,
  ...(molecule.charge ? { charge: molecule.charge } : {}),
  ...(molecule.multiplicity && !source.library ? { multiplicity: molecule.multiplicity } : {}),
});

function Source({ molecule, told, change }: { molecule: Molecule; told: (path: string) => string | undefined; change: (molecule: Molecule) => void }) {
  const [kind, setKind] = useState<Kind>(kindOf(molecule));
  const [xyz, setXyz] = useState(molecule.xyz ?? (molecule.atoms ? xyzText(geometryOf(molecule.atoms)) : ""));
  const [over, setOver] = useState(false);

  function take(text: string): void {
    if (isHamiltonian(text)) {
      setKind("fcidump");
      change({ fcidump: text });
      return;
    }
    setKind("xyz");
    setXyz(text);
    change({ xyz: text });
  }

  async function onDrop(event: DragEvent): Promise<void> {
    event.preventDefault();
    setOver(false);
    const file = event.dataTransfer?.files[0];
    if (file) take(await file.text());
  }

  return (
    <div
      class="panel"
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => void attempt(() => onDrop(event))}
    >
      <h2>Molecule</h2>
      <div class="column">
        <Segments<Kind>
          label="Where the molecule comes from"
          value={kind}
          options={[
            ["library", "Library"],
            ["smiles", "SMILES"],
            ["xyz", "XYZ"],
            ["fcidump", "FCIDUMP"],
          ]}
          pick={setKind}
        />
        {kind === "library" ? <LibraryChoice chosen={molecule.library ?? null} pick={(name) => change({ library: name })} /> : null}
        {kind === "smiles" ? (
          <Field label="SMILES" told={told("$.molecule.smiles")} hint="The geometry is guessed from it; optimise it for a real structure.">
            {(ids) => (
              <input
                {...ids}
                type="text"
                class="mono"
                placeholder="CCO"
                spellcheck={false}
                value={molecule.smiles ?? ""}
                onInput={(event) => change(only(molecule, { smiles: event.currentTarget.value }))}
              />
            )}
          </Field>
        ) : null}
        {kind === "xyz" ? (
          <>
            <Field label="XYZ, in angstrom" told={told("$.molecule.xyz")}>
              {(ids) => (
                <textarea
                  {...ids}
                  spellcheck={false}
                  placeholder={"3\nwater\nO  0.000  0.000  0.117\nH  0.000  0.757 -0.467\nH  0.000 -0.757 -0.467"}
                  value={xyz}
                  onInput={(event) => {
                    setXyz(event.currentTarget.value);
                    change(only(molecule, { xyz: event.currentTarget.value }));
                  }}
                />
              )}
            </Field>
            <Drop what="an .xyz file" accept=".xyz,text/plain,chemical/x-xyz" over={over} take={take} />
          </>
        ) : null}
        {kind === "fcidump" ? (
          <>
            <Field label="Hamiltonian, as FCIDUMP" told={told("$.molecule.fcidump")} hint="Integrals without nuclei: for FCI, CASCI, selected CI, SQD and VQE.">
              {(ids) => <textarea {...ids} spellcheck={false} placeholder={"&FCI NORB=2,NELEC=2,MS2=0,\n&END\n …"} value={molecule.fcidump ?? ""} onInput={(event) => change({ fcidump: event.currentTarget.value })} />}
            </Field>
            <Drop what="an FCIDUMP file" accept="" over={over} take={take} />
          </>
        ) : null}
        {told("$.molecule.library") ? <p class="bad">{told("$.molecule.library")}</p> : null}
      </div>
    </div>
  );
}

function Drop({ what, accept, over, take }: { what: string; accept: string; over: boolean; take: (text: string) => void }) {
  return (
    <label class={over ? "drop over" : "drop"}>
      Drop {what} here, or <u>choose one</u>
      <input
        class="visually-hidden"
        type="file"
        accept={accept}
        onChange={(event) => {
          const file = event.currentTarget.files?.[0];
          if (file) void attempt(async () => take(await file.text()));
        }}
      />
    </label>
  );
}

function LibraryChoice({ chosen, pick }: { chosen: string | null; pick: (name: string) => void }) {
  const library = useFetched(() => constant<{ items: LibraryMolecule[] }>("molecules"), []);
  if (!library.value) return <Waiting what="molecules" error={library.error} />;
  return (
    <div class="choices" role="group" aria-label="Library">
      {library.value.items.map((item) => (
        <button type="button" class="choice" key={item.name} aria-pressed={item.name === chosen} title={item.title} onClick={() => pick(item.name)}>
          <b>{lowered(item.name)}</b>
          <span>{item.title}</span>
        </button>
      ))}
    </div>
  );
}

// The structure

const geometryOf = (atoms: NonNullable<Molecule["atoms"]>): Geometry => ({
  symbols: atoms.map((atom) => atom.symbol),
  coordinates_angstrom: atoms.map((atom) => atom.position_angstrom),
});

interface StructureProps {
  molecule: Molecule;
  parsed: Parsed | null;
  stale: boolean;
  geometry: Geometry | null;
  told: (path: string) => string | undefined;
  change: (molecule: Molecule) => void;
}

function Structure({ molecule, parsed, stale, geometry, told, change }: StructureProps) {
  if (molecule.fcidump !== undefined) return <Hamiltonian parsed={stale ? null : parsed} />;
  const shown = molecule.atoms ? geometryOf(molecule.atoms) : geometry;
  const name = parsed ? lowered(parsed.formula) : "";
  return (
    <div class="panel">
      <div class="head" style={{ marginBottom: "0.4rem" }}>
        <h2>{stale ? "Structure" : name || "Structure"}</h2>
        {parsed && !stale ? (
          <span class="muted small">
            {parsed.geometry.symbols.length} {parsed.geometry.symbols.length === 1 ? "atom" : "atoms"}, {parsed.electrons} electrons
          </span>
        ) : null}
      </div>
      <div style={{ opacity: stale ? 0.35 : 1 }}>
        <MoleculeView geometry={geometry} label={`Structure of ${parsed?.formula ?? "the molecule"} in 3D`} />
      </div>
      {parsed && !stale && parsed.warnings.length ? <p class="small muted">{parsed.warnings.join("; ")}</p> : null}
      {told("$.molecule.atoms") ? (
        <p class="small bad" role="alert">
          {told("$.molecule.atoms")}
        </p>
      ) : null}
      {shown ? <AtomTable geometry={shown} change={(next) => change({ ...only(molecule, { atoms: next }), ...keepState(molecule, parsed) })} /> : null}
    </div>
  );
}

/** What has integrals and no nuclei has no picture. */
function Hamiltonian({ parsed }: { parsed: Parsed | null }) {
  return (
    <div class="panel">
      <h2>Hamiltonian</h2>
      <Facts
        facts={[
          ["Orbitals", parsed?.orbitals ?? null],
          ["Electrons", parsed?.electrons ?? null],
          ["Multiplicity", parsed?.multiplicity ?? null],
        ]}
      />
      <p class="small muted">{parsed?.warnings.length ? parsed.warnings.join("; ") : "It has no nuclei, so there is no structure to show."}</p>
    </div>
  );
}

/** Edited atoms keep the charge and multiplicity that the molecule had. */
function keepState(molecule: Molecule, parsed: Parsed | null): Partial<Molecule> {
  const charge = molecule.charge ?? parsed?.charge ?? 0;
  const multiplicity = molecule.multiplicity ?? parsed?.multiplicity ?? 1;
  return { ...(charge ? { charge } : {}), ...(multiplicity !== 1 ? { multiplicity } : {}) };
}

const LONGEST_TABLE = 60;

function AtomTable({ geometry, change }: { geometry: Geometry; change: (atoms: NonNullable<Molecule["atoms"]>) => void }) {
  const atoms = geometry.symbols.map((symbol, index) => ({ symbol, position_angstrom: geometry.coordinates_angstrom[index]! }));
  const edit = (at: number, part: Partial<(typeof atoms)[number]>) => change(atoms.map((atom, index) => (index === at ? { ...atom, ...part } : atom)));
  const move = (at: number, axis: number, text: string) => {
    const value = numberOr(text);
    if (typeof value !== "number") return;
    const position = [...atoms[at]!.position_angstrom] as Vector;
    position[axis] = value;
    edit(at, { position_angstrom: position });
  };
  return (
    <details open={atoms.length <= 12}>
      <summary>Coordinates in angstrom</summary>
      <div class="scroll" tabIndex={atoms.length > 12 ? 0 : -1}>
        <table class="atoms">
          <thead>
            <tr>
              <th scope="col">
                <span class="visually-hidden">Number</span>
              </th>
              <th scope="col">Atom</th>
              <th scope="col" class="num">
                x
              </th>
              <th scope="col" class="num">
                y
              </th>
              <th scope="col" class="num">
                z
              </th>
              <th scope="col">
                <span class="visually-hidden">Remove</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {atoms.slice(0, LONGEST_TABLE).map((atom, index) => (
              <tr key={index}>
                <td class="muted num">{index}</td>
                <td>
                  <Typed aria-label={`Element of atom ${index}`} value={atom.symbol} take={(text) => edit(index, { symbol: text.trim() })} />
                </td>
                {["x", "y", "z"].map((axis, number) => (
                  <td key={axis}>
                    <Typed
                      inputMode="decimal"
                      aria-label={`${axis} of atom ${index}`}
                      value={atom.position_angstrom[number]!.toFixed(4)}
                      take={(text) => move(index, number, text)}
                    />
                  </td>
                ))}
                <td>
                  <button type="button" class="button quiet small" aria-label={`Remove atom ${index}`} disabled={atoms.length === 1} onClick={() => change(atoms.filter((_, at) => at !== index))}>
                    ✕
                  </button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {atoms.length > LONGEST_TABLE ? <p class="small muted">{atoms.length - LONGEST_TABLE} more atoms; edit them as XYZ.</p> : null}
      <div class="actions">
        <button
          type="button"
          class="button quiet small"
          onClick={() => {
            const last = atoms[atoms.length - 1]!.position_angstrom;
            change([...atoms, { symbol: "H", position_angstrom: [last[0] + 1, last[1], last[2]] }]);
          }}
        >
          Add an atom
        </button>
        <button type="button" class="button quiet small" onClick={() => save("structure.xyz", new Blob([xyzText(geometry)], { type: "chemical/x-xyz" }))}>
          Save XYZ
        </button>
      </div>
    </details>
  );
}

// The computation

interface ComputationProps {
  methods: Methods;
  spec: Spec;
  told: (path: string) => string | undefined;
  change: (part: Partial<Spec>) => void;
}

const optionsOf = ({ name: _, ...options }: { name: string } & Options): Options => options;

function Computation({ methods, spec, told, change }: ComputationProps) {
  const method = methods.methods.find((one) => one.name === spec.method.name) ?? methods.methods[0]!;
  const taskName = spec.task?.name ?? "energy";
  const task = methods.tasks.find((one) => one.name === taskName);
  const molecule = spec.molecule;

  function pickMethod(name: string): void {
    const next = methods.methods.find((one) => one.name === name);
    const fits = next?.tasks.includes(taskName) ?? false;
    change({ method: { name }, ...(fits ? {} : { task: { name: "energy" } }) });
  }

  function pickTask(name: string): void {
    const scan = { coordinate: { type: "bond", atoms: [0, 1] }, start: 0.6, stop: 2.4, points: 13 };
    change({ task: { name, ...(name === "scan" ? scan : {}) } });
  }

  return (
    <div class="panel">
      <h2>Computation</h2>
      <div class="column">
        <Field label="Method" told={told("$.method.name")} hint={method.title}>
          {(ids) => (
            <select {...ids} value={method.name} onChange={(event) => pickMethod(event.currentTarget.value)}>
              {methods.methods.map((one) => (
                <option key={one.name} value={one.name}>
                  {known(one.name)}
                </option>
              ))}
            </select>
          )}
        </Field>
        <div class="two">
          <Field label="Task" told={told("$.task.name")}>
            {(ids) => (
              <select {...ids} value={taskName} onChange={(event) => pickTask(event.currentTarget.value)}>
                {method.tasks.map((name) => (
                  <option key={name} value={name}>
                    {known(name)}
                  </option>
                ))}
              </select>
            )}
          </Field>
          <Field label="Basis set" told={told("$.basis")}>
            {(ids) => (
              <select {...ids} value={spec.basis ?? "sto-3g"} onChange={(event) => change({ basis: event.currentTarget.value })}>
                {(spec.basis === NO_BASIS ? [NO_BASIS] : methods.basis_sets).map((name) => (
                  <option key={name} value={name}>
                    {name}
                  </option>
                ))}
              </select>
            )}
          </Field>
          <Field label="Charge" told={told("$.molecule.charge")}>
            {(ids) => (
              <Typed
                {...ids}
                inputMode="numeric"
                placeholder="0"
                value={molecule.charge ? String(molecule.charge) : ""}
                take={(text) => change({ molecule: withNumber(molecule, "charge", text) })}
              />
            )}
          </Field>
          <Field label="Multiplicity (2S+1)" told={told("$.molecule.multiplicity")}>
            {(ids) => (
              <Typed
                {...ids}
                inputMode="numeric"
                placeholder="automatic"
                value={molecule.multiplicity ? String(molecule.multiplicity) : ""}
                take={(text) => change({ molecule: withNumber(molecule, "multiplicity", text) })}
              />
            )}
          </Field>
        </div>
        {task?.options.properties && Object.keys(task.options.properties).length ? (
          <details open={taskName !== "energy"}>
            <summary>{known(taskName)}: options</summary>
            <OptionFields
              schema={task.options}
              values={optionsOf(spec.task ?? { name: "energy" })}
              told={(name) => told(`$.task.${name}`)}
              change={(options) => change({ task: { ...options, name: taskName } })}
            />
          </details>
        ) : null}
        {Object.keys(method.options.properties ?? {}).length ? (
          <details open={Boolean(told("$.method")) || Object.keys(spec.method).length > 1}>
            <summary>{known(method.name)}: options</summary>
            <OptionFields
              schema={method.options}
              values={optionsOf(spec.method)}
              told={(name) => told(`$.method.${name}`)}
              change={(options) => change({ method: { ...options, name: method.name } })}
            />
          </details>
        ) : null}
        <Surroundings spec={spec} told={told} change={change} />
      </div>
    </div>
  );
}

function withNumber(molecule: Molecule, name: "charge" | "multiplicity", text: string): Molecule {
  const { [name]: _, ...rest } = molecule;
  const value = numberOr(text);
  return value === undefined ? rest : { ...rest, [name]: value as number };
}

/** Active space, solvent, and what the run is called. */
function Surroundings({ spec, told, change }: Omit<ComputationProps, "methods">) {
  const space = spec.active_space ?? null;
  const kind = space === null ? "none" : space["frozen_core"] ? "core" : space["avas"] ? "avas" : "window";
  const wrong = told("$.active_space") ?? told("$.solvent");
  function pickSpace(name: string): void {
    const made: Record<string, Options | null> = { none: null, core: { frozen_core: true }, window: { electrons: 2, orbitals: 2 }, avas: { avas: [] } };
    change({ active_space: made[name] ?? null });
  }
  return (
    <details open={Boolean(wrong) || space !== null || Boolean(spec.solvent)}>
      <summary>Active space, solvent, name</summary>
      <div class="options">
        <Field label="Active space" told={told("$.active_space")} wide>
          {(ids) => (
            <select {...ids} value={kind} onChange={(event) => pickSpace(event.currentTarget.value)}>
              <option value="none">all orbitals</option>
              <option value="core">all but the frozen core</option>
              <option value="window">a window around the Fermi level</option>
              <option value="avas">by atomic orbitals (AVAS)</option>
            </select>
          )}
        </Field>
        {kind === "window"
          ? (["electrons", "orbitals"] as const).map((name) => (
              <Field key={name} label={name === "electrons" ? "Electrons" : "Orbitals"}>
                {(ids) => (
                  <Typed {...ids} inputMode="numeric" value={String(space?.[name] ?? "")} take={(text) => change({ active_space: { ...space, [name]: numberOr(text) } })} />
                )}
              </Field>
            ))
          : null}
        {kind === "avas" ? (
          <Field label="Atomic orbitals" hint="such as N 2p, 0 Fe 3d" wide>
            {(ids) => (
              <Typed
                {...ids}
                value={((space?.["avas"] as string[] | undefined) ?? []).join(", ")}
                take={(text) => change({ active_space: { avas: text.split(",").map((part) => part.trim()).filter(Boolean) } })}
              />
            )}
          </Field>
        ) : null}
        <Field label="Solvent model" told={told("$.solvent.model")}>
          {(ids) => (
            <select
              {...ids}
              value={spec.solvent?.model ?? ""}
              onChange={(event) => change({ solvent: event.currentTarget.value ? { model: event.currentTarget.value, name: spec.solvent?.name ?? "water" } : null })}
            >
              <option value="">none (gas)</option>
              <option value="cpcm">C-PCM</option>
              <option value="smd">SMD</option>
              <option value="ddcosmo">ddCOSMO</option>
            </select>
          )}
        </Field>
        {spec.solvent ? (
          <Field label="Solvent" told={shortened(told("$.solvent.name") ?? (spec.solvent ? told("$.solvent") : undefined))}>
            {(ids) => <Typed {...ids} value={spec.solvent!.name} take={(text) => change({ solvent: { ...spec.solvent!, name: text.trim() } })} />}
          </Field>
        ) : null}
        <Field label="Name" told={told("$.name")} wide>
          {(ids) => <input {...ids} type="text" placeholder={`${moleculeText(spec.molecule)} ${known(spec.method.name)}`} value={spec.name ?? ""} onInput={(event) => change({ name: event.currentTarget.value })} />}
        </Field>
        <Field label="Tags" hint="with commas" told={told("$.tags")}>
          {(ids) => (
            <Typed {...ids} value={(spec.tags ?? []).join(", ")} take={(text) => change({ tags: text.split(",").map((part) => part.trim()).filter(Boolean) })} />
          )}
        </Field>
        <Field label="Priority" told={told("$.priority")} hint="higher runs first">
          {(ids) => (
            <Typed {...ids} inputMode="numeric" placeholder="0" value={spec.priority ? String(spec.priority) : ""} take={(text) => change({ priority: (numberOr(text) ?? 0) as number })} />
          )}
        </Field>
        <label class="check wide">
          <input type="checkbox" checked={Boolean(spec.fresh)} onChange={(event) => change({ fresh: event.currentTarget.checked })} />
          <span>Run anew, even where the same was run before</span>
        </label>
      </div>
    </details>
  );
}

const shortened = (text: string | undefined): string | undefined => (text && text.length > 160 ? `${text.slice(0, 160)} …` : text);

function EstimateCard({ estimate, stale }: { estimate: Asked<Estimate>; stale: boolean }) {
  const { value, problem } = estimate;
  const asked = problem && !problem.errors.length ? problem.message : null;
  return (
    <div class="panel" aria-live="polite" aria-busy={stale}>
      <h2>Estimate</h2>
      {problem ? (
        <div class="box failed small">{asked ?? shortened(problem.errors.map((error) => error.message).join("; "))}</div>
      ) : !value ? (
        <p class="muted small">Asking the server …</p>
      ) : (
        <div class="column" style={{ opacity: stale ? 0.55 : 1 }}>
          {value.feasible ? null : (
            <div class="box failed small">
              <p>Too large: {value.reason}</p>
              {value.suggestion ? <p>{value.suggestion}</p> : null}
            </div>
          )}
          <Facts
            facts={[
              ["Basis functions", count(value.basis_functions)],
              ["Qubits", value.qubits === null ? null : count(value.qubits)],
              ["Determinants", value.determinants === null ? null : count(value.determinants)],
              ["Memory", value.feasible ? `about ${memory(value.memory_mb)}` : null],
              ["Time", value.feasible ? durationRange(value.seconds) : null],
            ]}
          />
        </div>
      )}
    </div>
  );
}
