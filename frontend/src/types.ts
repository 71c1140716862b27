// The words of the protocol (docs/protocol.md), as far as these pages use them.

export type StatusName = "queued" | "running" | "completed" | "failed" | "cancelled";
export type Vector = [number, number, number];

export interface ErrorBody {
  code: string;
  message: string;
  details?: Record<string, unknown>;
}

export interface FieldError {
  path: string;
  message: string;
}

export interface Geometry {
  symbols: string[];
  coordinates_angstrom: Vector[];
}

export interface Molecule {
  smiles?: string | null;
  fcidump?: string | null;
  xyz?: string | null;
  atoms?: { symbol: string; position_angstrom: Vector }[] | null;
  library?: string | null;
  charge?: number;
  multiplicity?: number | null;
}

export type Options = Record<string, unknown>;

export interface Spec {
  name?: string;
  molecule: Molecule;
  basis?: string;
  method: { name: string } & Options;
  task?: { name: string } & Options;
  active_space?: Options | null;
  solvent?: { model: string; name: string } | null;
  cartesian?: boolean;
  limits?: { wall_s?: number; memory_mb?: number; threads?: number };
  priority?: number;
  tags?: string[];
  fresh?: boolean;
}

export interface Progress {
  percent: number;
  stage: number | null;
  iteration: number | null;
  energy_hartree: number | null;
  eta_s: number | null;
}

export interface Experiment {
  id: string;
  name: string;
  tags: string[];
  priority: number;
  status: StatusName;
  spec: Spec;
  spec_hash: string;
  attempt: number;
  progress: Progress;
  last_seq: number;
  created_at: string;
  energy_hartree: number | null;
  error: ErrorBody | null;
  queue_position: number | null;
  started_at: string | null;
  finished_at: string | null;
  reused_from: string | null;
  cancel_requested: boolean;
  losses: number;
  campaign: string | null;
  owner: string;
}

/** An experiment as the watch tells of it: without its spec and its place in the line. */
export interface Summary {
  type: "summary";
  experiment_id: string;
  name: string;
  tags: string[];
  method: string;
  task: string;
  basis: string;
  status: StatusName;
  attempt: number;
  progress: Progress;
  energy_hartree: number | null;
  error: ErrorBody | null;
  last_seq: number;
  created_at: string;
  started_at: string | null;
  finished_at: string | null;
  cancel_requested: boolean;
  owner: string;
}

export interface Campaign {
  id: string;
  name: string;
  tags: string[];
  owner: string;
  size: number;
  created_at: string;
  status: "active" | "ended";
  counts: Partial<Record<StatusName, number>>;
  percent: number;
}

export interface Member {
  index: number;
  experiment_id: string;
  name: string;
  molecule: string;
  method: string;
  basis: string;
  task: string;
  status: StatusName;
  percent: number;
  energy_hartree: number | null;
  wall_s: number | null;
  error_code: string | null;
  reused_from: string | null;
}

export type CampaignNews = { type: "campaign"; campaign: Campaign } | { type: "member"; member: Member };

interface EventBase {
  experiment_id: string;
  attempt: number;
  seq: number;
  time: string;
}

export type Event =
  | (EventBase & { type: "status"; status: StatusName; progress: number; energy_hartree: number | null; error: ErrorBody | null })
  | (EventBase & { type: "stage"; stage: number; last_stage: number | null; message: string; energy_hartree: number | null })
  | (EventBase & {
      type: "convergence";
      series: string;
      iteration: number;
      energy_hartree: number;
      delta_hartree: number | null;
      residual: number | null;
    })
  | (EventBase & {
      type: "state";
      index: number;
      energy_hartree: number;
      excitation_ev: number | null;
      oscillator_strength: number | null;
      s_squared: number | null;
    })
  | (EventBase & { type: "geometry"; step: number; energy_hartree: number; max_gradient: number | null; coordinates_angstrom: Vector[] })
  | (EventBase & { type: "point"; index: number; value: number; energy_hartree: number })
  | (EventBase & { type: "log"; level: "info" | "warning" | "error"; message: string })
  | (EventBase & { type: "thinned"; first_seq: number; removed: number; thinned_at: string });

export interface ElectronicState {
  index: number;
  energy_hartree: number;
  excitation_ev?: number;
  oscillator_strength?: number;
  s_squared?: number;
  label?: string;
}

export interface Orbitals {
  energies_hartree: number[];
  occupations: number[];
  homo_hartree?: number;
  lumo_hartree?: number;
  beta_energies_hartree?: number[];
  beta_occupations?: number[];
}

export interface Frequencies {
  wavenumbers_cm: number[];
  ir_km_mol: number[];
  modes: Vector[][];
  reduced_masses_amu: number[];
  temperature_k: number;
  pressure_pa: number;
  symmetry_number: number;
  point_group: string;
  zpe_hartree: number;
  thermal_energy_hartree: number;
  enthalpy_hartree: number;
  entropy_hartree_per_k: number;
  gibbs_hartree: number;
  heat_capacity_hartree_per_k: number;
}

export interface Scan {
  type: "bond" | "angle" | "dihedral";
  atoms: number[];
  values: number[];
  energies_hartree: number[];
  converged: boolean[];
  jumps?: number[];
}

export interface Result {
  energy_hartree: number;
  converged: boolean;
  components?: Record<string, number>;
  reference?: { type: string; s_squared: number; stable?: boolean };
  states?: ElectronicState[];
  orbitals?: Orbitals;
  properties?: {
    density: string;
    dipole_debye?: Vector;
    mulliken_charges?: number[];
    bond_orders?: { atoms: [number, number]; order: number }[];
    gradient_hartree_per_bohr?: Vector[];
  };
  geometry?: Geometry;
  comparisons?: Record<string, number>;
  diagnostics?: Record<string, number>;
  circuit?: { qubits: number; parameters: number; two_qubit_gates?: number };
  optimization?: { converged: boolean; steps: number; max_gradient_hartree_per_bohr: number; energies_hartree: number[] };
  frequencies?: Frequencies;
  scan?: Scan;
  search?: { optimizer: string; iterations: number; evaluations: number; gradient_norm?: number; operators?: string[] };
  sampling?: {
    sampler: string;
    samples: number;
    distinct: number;
    valid_fraction: number;
    determinants: number;
    iterations: { energy_hartree: number; determinants: number }[];
  };
  warnings?: string[];
  provenance?: {
    versions: Record<string, string>;
    wall_s: number;
    cpu_s: number;
    peak_rss_mb: number;
    threads: number;
    seed?: number;
    conventions?: string[];
  };
}

export interface Estimate {
  feasible: boolean;
  basis_functions: number;
  memory_mb: number;
  seconds: [number, number];
  determinants: number | null;
  qubits: number | null;
  reason: string | null;
  suggestion: string | null;
}

export interface Parsed {
  formula: string;
  charge: number;
  multiplicity: number;
  electrons: number;
  geometry: Geometry;
  warnings: string[];
  /** Of a Hamiltonian without nuclei. */
  orbitals?: number | null;
}

export interface LibraryMolecule {
  name: string;
  title: string;
  formula: string;
  charge: number;
  multiplicity: number;
  source: string;
  geometry: Geometry;
}

export interface Schema {
  type?: string;
  enum?: unknown[];
  default?: unknown;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  anyOf?: Schema[];
  properties?: Record<string, Schema>;
  items?: Schema;
  $ref?: string;
}

export interface Described {
  name: string;
  title: string;
  options: Schema;
}

export interface Methods {
  methods: (Described & { tasks: string[] })[];
  tasks: Described[];
  basis_sets: string[];
}

export interface Slot {
  name: string;
  state: "starting" | "idle" | "running" | "stopping";
  experiment_id: string | null;
  pid: number | null;
  cpu_s: number | null;
  memory_mb: number | null;
}

export interface SystemView {
  versions: Record<string, string>;
  slots: Slot[];
  queue_length: number;
  viewers: number;
  started_at: string;
}

export const TERMINAL: ReadonlySet<StatusName> = new Set<StatusName>(["completed", "failed", "cancelled"]);
