// Fields made from JSON Schema: the options of a method or task, as /methods describes them.

import { known, words } from "../units";
import type { Options, Schema } from "../types";
import { Field, Typed } from "./parts";

interface Props {
  schema: Schema;
  values: Options;
  told: (name: string) => string | undefined;
  change: (values: Options) => void;
}

/** What a property holds, and whether it may be left empty. */
function unwrap(schema: Schema): { inner: Schema; optional: boolean } {
  const choices = schema.anyOf?.filter((choice) => choice.type !== "null") ?? [];
  return choices.length ? { inner: choices[0]!, optional: true } : { inner: schema, optional: schema.default === null };
}

const nameOf = (name: string, schema: Schema): string => {
  const units: Record<string, string> = { k: "K", pa: "Pa", s: "s", mb: "MB", ms: "ms" };
  const match = /^(.*)_(k|pa|mb|ms|s)$/.exec(name);
  return match && schema.type !== "boolean" && !match[1]!.startsWith("n_") ? `${words(match[1]!)} (${units[match[2]!]})` : words(name);
};

function range(schema: Schema): string | undefined {
  const low = schema.minimum ?? schema.exclusiveMinimum;
  if (low === undefined && schema.maximum === undefined) return undefined;
  if (schema.maximum === undefined) return `from ${low}`;
  return low === undefined ? `to ${schema.maximum}` : `${low} to ${schema.maximum.toLocaleString("en")}`;
}

export function OptionFields({ schema, values, told, change }: Props) {
  const set = (name: string, value: unknown) => {
    const next = { ...values };
    if (value === undefined) delete next[name];
    else next[name] = value;
    change(next);
  };
  return (
    <div class="options">
      {Object.entries(schema.properties ?? {}).map(([name, property]) => (
        <OptionField key={name} name={name} schema={property} value={values[name]} told={told(name)} set={(value) => set(name, value)} />
      ))}
    </div>
  );
}

function OptionField({ name, schema, value, told, set }: { name: string; schema: Schema; value: unknown; told: string | undefined; set: (value: unknown) => void }) {
  const { inner, optional } = unwrap(schema);
  const label = nameOf(name, inner);
  if (inner.$ref?.endsWith("/Coordinate")) return <CoordinateField value={value as Coordinate | undefined} told={told} set={set} />;
  if (inner.type === "boolean" && !optional)
    return (
      <label class="check">
        <input type="checkbox" checked={Boolean(value ?? schema.default)} onChange={(event) => set(event.currentTarget.checked)} />
        <span>{label}</span>
      </label>
    );
  if (inner.enum || inner.type === "boolean") {
    const choices = inner.enum ?? [true, false];
    const shown = value ?? schema.default;
    return (
      <Field label={label} told={told}>
        {(ids) => (
          <select {...ids} value={String(shown)} onChange={(event) => set(choices.find((choice) => String(choice) === event.currentTarget.value))}>
            {optional ? <option value="null">automatic</option> : null}
            {choices.map((choice) => (
              <option key={String(choice)} value={String(choice)}>
                {choice === true ? "yes" : choice === false ? "no" : String(choice)}
              </option>
            ))}
          </select>
        )}
      </Field>
    );
  }
  if (inner.type === "number" || inner.type === "integer")
    return (
      <Field label={label} told={told} hint={range(inner)}>
        {(ids) => (
          <Typed
            {...ids}
            inputMode="decimal"
            placeholder={schema.default === null || schema.default === undefined ? "automatic" : String(schema.default)}
            value={value === undefined || value === null ? "" : String(value)}
            take={(text) => set(numberOr(text))}
          />
        )}
      </Field>
    );
  if (inner.type === "array" || inner.type === "object")
    return (
      <Field label={label} told={told} hint={inner.type === "array" ? "numbers, with commas" : 'JSON, such as {"0011": 512}'} wide>
        {(ids) => (
          <Typed
            {...ids}
            value={value === undefined || value === null ? "" : inner.type === "array" ? (value as number[]).join(", ") : JSON.stringify(value)}
            take={(text) => set(inner.type === "array" ? listOr(text) : jsonOr(text))}
          />
        )}
      </Field>
    );
  return (
    <Field label={label} told={told}>
      {(ids) => (
        <Typed {...ids} placeholder={String(schema.default ?? "")} value={value === undefined ? "" : String(value)} take={(text) => set(text.trim() || undefined)} />
      )}
    </Field>
  );
}

/** A number where the text is one; otherwise the text, which the server refuses with the rule. */
export function numberOr(text: string): unknown {
  const trimmed = text.trim().replace(",", ".").replace("\u2212", "-");
  if (trimmed === "") return undefined;
  return Number.isFinite(Number(trimmed)) ? Number(trimmed) : trimmed;
}

function listOr(text: string): unknown {
  const parts = text.split(/[,;\s]+/).filter(Boolean);
  return parts.length ? parts.map(numberOr) : undefined;
}

function jsonOr(text: string): unknown {
  if (!text.trim()) return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

interface Coordinate {
  type: string;
  atoms: number[];
}

const ATOMS: Record<string, number> = { bond: 2, angle: 3, dihedral: 4 };

function CoordinateField({ value, told, set }: { value: Coordinate | undefined; told: string | undefined; set: (value: unknown) => void }) {
  const now = value ?? { type: "bond", atoms: [0, 1] };
  return (
    <>
      <Field label="Coordinate" told={told}>
        {(ids) => (
          <select {...ids} value={now.type} onChange={(event) => set({ type: event.currentTarget.value, atoms: [0, 1, 2, 3].slice(0, ATOMS[event.currentTarget.value]) })}>
            {Object.keys(ATOMS).map((type) => (
              <option key={type} value={type}>
                {known(type)}
              </option>
            ))}
          </select>
        )}
      </Field>
      <Field label="Atoms" hint="numbers from 0, as in the table">
        {(ids) => <Typed {...ids} value={now.atoms.join(", ")} take={(text) => set({ ...now, atoms: listOr(text) ?? [] })} />}
      </Field>
    </>
  );
}
