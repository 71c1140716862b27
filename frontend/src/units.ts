// Numbers as a chemist reads them: units, digits, a true minus sign.

export const EV_PER_HARTREE = 27.211386245981;
export const CM_PER_EV = 8065.543937349212;
export const NM_EV = 1239.8419843320026;
export const KCAL_PER_HARTREE = 627.5094740630558;
/** Chemical accuracy: 1 kcal/mol. */
export const CHEMICAL_ACCURACY_HARTREE = 1 / KCAL_PER_HARTREE;

const MINUS = "\u2212";
const THIN = "\u2009";

/** A number with fixed digits and a true minus sign; a dash where there is none. */
export function fixed(value: number | null | undefined, digits: number): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const text = value.toFixed(digits);
  return Number(text) === 0 ? text.replace("-", "") : text.replace("-", MINUS);
}

/** A total energy, in hartree, without its unit. */
export const energy = (hartree: number | null | undefined): string => fixed(hartree, 8);

/** A difference in millihartree with its sign, without its unit. */
export function milli(hartree: number | null | undefined): string {
  if (hartree === null || hartree === undefined) return "–";
  const text = fixed(hartree * 1000, 3);
  return hartree > 0 && Number(text) > 0 ? `+${text}` : text;
}

/** Small numbers such as residuals: 1.2 × 10⁻⁷. */
export function scientific(value: number | null | undefined, digits = 1): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const [mantissa, exponent] = value.toExponential(digits).split("e") as [string, string];
  return `${mantissa.replace("-", MINUS)}${THIN}×${THIN}10${superscript(Number(exponent))}`;
}

const RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹";
function superscript(value: number): string {
  const digits = [...String(Math.abs(value))].map((digit) => RAISED[Number(digit)]).join("");
  return value < 0 ? `⁻${digits}` : digits;
}

/** A stretch of time: 0.41 s, 12 s, 3 min 05 s, 2 h 10 min. */
export function duration(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  if (seconds < 0) return "0 s";
  if (seconds < 1) return `${seconds.toFixed(2)} s`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)} h ${String(Math.floor((whole % 3600) / 60)).padStart(2, "0")} min`;
  return `${Math.floor(whole / 86_400)} d ${Math.floor((whole % 86_400) / 3600)} h`;
}

/** A rough range of time, as an estimate gives it. */
export function durationRange([low, high]: [number, number]): string {
  const rough = (seconds: number) => (seconds < 0.095 ? "0.1 s" : seconds < 1 ? `${seconds.toFixed(1)} s` : duration(seconds));
  return rough(low) === rough(high) ? `about ${rough(high)}` : `${rough(low)} to ${rough(high)}`;
}

export function memory(megabytes: number | null | undefined): string {
  if (megabytes === null || megabytes === undefined) return "–";
  return megabytes < 1024 ? `${Math.round(megabytes)} MB` : `${(megabytes / 1024).toFixed(1)} GB`;
}

/** Whole numbers with thin spaces: 12 345. */
export function count(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  return value < 1e9 ? String(value).replace(/\B(?=(\d{3})+$)/g, THIN) : scientific(value);
}

const two = (value: number) => String(value).padStart(2, "0");

/** A moment in this browser's time zone: 2026-01-31 14:05:09. */
export function moment(time: string | null): string {
  if (time === null) return "–";
  const date = new Date(time);
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${clock(time)}`;
}

/** The time of day: 14:05:09. */
export function clock(time: string): string {
  const date = new Date(time);
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** Seconds between two moments of the server. */
export const secondsBetween = (from: string, to: string): number => (Date.parse(to) - Date.parse(from)) / 1000;

const KINDS: Record<string, string> = {
  hf: "HF", dft: "DFT", mp2: "MP2", ccsd: "CCSD", "ccsd(t)": "CCSD(T)", casci: "CASCI", casscf: "CASSCF", fci: "FCI",
  selected_ci: "Selected CI", sqd: "SQD", krylov_sqd: "Krylov SQD", vqe: "VQE", adapt_vqe: "ADAPT-VQE", probe: "Probe",
  energy: "Energy", excited_states: "Excited states", optimize: "Optimise", frequencies: "Frequencies", scan: "Scan",
  tddft: "TDDFT", tda: "TDA", tdhf: "TDHF", cis: "CIS", eom_ccsd: "EOM-CCSD", "eom-ccsd": "EOM-CCSD", qse: "QSE", scf: "SCF", davidson: "Davidson", optimization: "Optimisation",
};

/** A method, task or series by the name that people use. */
export const known = (name: string): string => KINDS[name] ?? words(name);

/** A field name as words: max_iterations becomes Max iterations. */
export function words(name: string): string {
  const text = name.replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** A formula with its digits lowered. */
export const lowered = (formula: string): string => formula.replace(/\d/g, (digit) => "₀₁₂₃₄₅₆₇₈₉".charAt(Number(digit)));
