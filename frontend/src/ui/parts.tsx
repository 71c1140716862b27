// Pieces that every page uses.

import { signal } from "@preact/signals";
import type { ComponentChildren, InputHTMLAttributes } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { wordsOf } from "../api";
import { focusOnArrival } from "../router";

/** A sentence for screen readers, said once. */
export const said = signal("");
export function say(text: string): void {
  said.value = "";
  requestAnimationFrame(() => (said.value = text));
}

/** A short notice at the foot of the page. */
export const notice = signal<string | null>(null);
let noticeTimer = 0;
export function tell(text: string): void {
  notice.value = text;
  say(text);
  window.clearTimeout(noticeTimer);
  noticeTimer = window.setTimeout(() => (notice.value = null), 6_000);
}

/** Do something that may be refused; the refusal is shown. */
export async function attempt(action: () => Promise<unknown>): Promise<void> {
  try {
    await action();
  } catch (error) {
    tell(wordsOf(error));
  }
}

export function useTitle(title: string): void {
  useEffect(() => {
    document.title = title ? `${title} · kanad` : "kanad";
  }, [title]);
}

/** The heading of a page; takes the focus after a change of page. */
export function Heading({ children }: { children: ComponentChildren }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => focusOnArrival(heading.current), []);
  return (
    <h1 tabIndex={-1} ref={heading}>
      {children}
    </h1>
  );
}

interface FieldProps {
  label: string;
  told?: string | undefined;
  hint?: string | undefined;
  wide?: boolean;
  children: (ids: { id: string; "aria-describedby"?: string; "aria-invalid"?: "true" }) => ComponentChildren;
}

/** A labelled field with what is wrong with it underneath. */
export function Field({ label, told, hint, wide, children }: FieldProps) {
  const id = useId();
  const under = told ? `${id}-told` : hint ? `${id}-hint` : undefined;
  return (
    <div class={wide ? "field wide" : "field"}>
      <label for={id}>{label}</label>
      {children({ id, ...(under ? { "aria-describedby": under } : {}), ...(told ? { "aria-invalid": "true" as const } : {}) })}
      {told ? (
        <span class="told" id={`${id}-told`} role="alert">
          {told}
        </span>
      ) : hint ? (
        <span class="hint" id={`${id}-hint`}>
          {hint}
        </span>
      ) : null}
    </div>
  );
}

type TypedProps = Omit<InputHTMLAttributes<HTMLInputElement>, "value" | "type" | "onInput" | "onChange" | "onBlur"> & { value: string; take: (text: string) => void };

/** A line of text that is taken when it is left, or with Enter; what is half typed stays through whatever is drawn meanwhile. */
export function Typed({ value, take, ...rest }: TypedProps) {
  const [typed, setTyped] = useState<string | null>(null);
  return (
    <input
      {...rest}
      type="text"
      value={typed ?? value}
      onInput={(event) => setTyped(event.currentTarget.value)}
      onChange={(event) => {
        setTyped(null);
        take(event.currentTarget.value);
      }}
      onBlur={() => setTyped(null)}
    />
  );
}

/** A row of buttons of which one is pressed. */
export function Segments<T extends string>(props: { label: string; value: T; options: [T, string][]; pick: (value: T) => void }) {
  return (
    <div class="segments" role="group" aria-label={props.label}>
      {props.options.map(([value, text]) => (
        <button type="button" key={value} aria-pressed={value === props.value} onClick={() => props.pick(value)}>
          {text}
        </button>
      ))}
    </div>
  );
}

/** A button that opens a list of links and buttons; Escape closes it and gives the focus back. */
export function Menu({ label, children, disabled }: { label: string; children: ComponentChildren; disabled?: boolean }) {
  const [open, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const id = useId();
  useEffect(() => {
    if (!open) return;
    const close = (event: Event) => {
      if (!root.current?.contains(event.target as Node)) setOpen(false);
    };
    document.addEventListener("pointerdown", close);
    document.addEventListener("focusin", close);
    return () => {
      document.removeEventListener("pointerdown", close);
      document.removeEventListener("focusin", close);
    };
  }, [open]);

  function onKeyDown(event: KeyboardEvent): void {
    const items = [...(root.current?.querySelectorAll<HTMLElement>("li > *") ?? [])];
    const at = items.indexOf(document.activeElement as HTMLElement);
    if (event.key === "Escape" && open) {
      setOpen(false);
      root.current?.querySelector("button")?.focus();
    } else if (event.key === "ArrowDown" && open) items[(at + 1) % items.length]?.focus();
    else if (event.key === "ArrowUp" && open) items[(at - 1 + items.length) % items.length]?.focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  return (
    <div class="menu" ref={root} onKeyDown={onKeyDown}>
      <button type="button" class="button" aria-expanded={open} aria-controls={id} disabled={disabled} onClick={() => setOpen(!open)}>
        {label}
      </button>
      {open ? (
        <ul id={id} onClick={() => setOpen(false)}>
          {children}
        </ul>
      ) : null}
    </div>
  );
}

/** Tabs as the keyboard knows them: arrows move, only the chosen one is in the tab order. */
export function Tabs(props: { label: string; tabs: [string, string][]; chosen: string; pick: (name: string) => void; children: ComponentChildren }) {
  const id = useId();
  const list = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const row = list.current!;
    const { left, right } = row.querySelector("[aria-selected=true]")!.getBoundingClientRect();
    const edge = row.getBoundingClientRect();
    row.scrollLeft += Math.min(0, left - edge.left) + Math.max(0, right - edge.right);
  }, [props.chosen, props.tabs.length]);
  function onKeyDown(event: KeyboardEvent): void {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const at = props.tabs.findIndex(([name]) => name === props.chosen);
    const to = event.key === "Home" ? 0 : event.key === "End" ? props.tabs.length - 1 : step ? (at + step + props.tabs.length) % props.tabs.length : -1;
    if (to < 0) return;
    event.preventDefault();
    props.pick(props.tabs[to]![0]);
    list.current?.querySelectorAll("button")[to]?.focus();
  }
  return (
    <section>
      <div class="tabs" role="tablist" aria-label={props.label} ref={list} onKeyDown={onKeyDown}>
        {props.tabs.map(([name, text]) => (
          <button
            type="button"
            role="tab"
            key={name}
            id={`${id}-${name}`}
            aria-selected={name === props.chosen}
            aria-controls={`${id}-panel`}
            tabIndex={name === props.chosen ? 0 : -1}
            onClick={() => props.pick(name)}
          >
            {text}
          </button>
        ))}
      </div>
      <div class="tab-body" role="tabpanel" id={`${id}-panel`} aria-labelledby={`${id}-${props.chosen}`} tabIndex={0}>
        {props.children}
      </div>
    </section>
  );
}

/** Name and value pairs; pairs without a value are left out. */
export function Facts({ facts }: { facts: [string, ComponentChildren][] }) {
  return (
    <dl class="facts">
      {facts
        .filter(([, value]) => value !== null && value !== undefined && value !== "")
        .map(([name, value]) => [<dt key={name}>{name}</dt>, <dd key={`${name}-value`}>{value}</dd>])}
    </dl>
  );
}

/** What is shown while something is fetched, or could not be. */
export function Waiting({ error, what }: { error?: unknown; what: string }) {
  return error ? (
    <div class="box failed" role="alert">
      {wordsOf(error)}
    </div>
  ) : (
    <p class="muted">Loading {what} …</p>
  );
}

export async function copy(text: string, what: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    tell(`${what} copied`);
  } catch {
    tell("The browser does not let this page copy");
  }
}

/** Hand a file to the person. */
export function save(name: string, content: Blob): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Fetch once for the given keys; null while it is on its way. */
export function useFetched<T>(fetcher: (signal: AbortSignal) => Promise<T>, keys: unknown[]): { value: T | null; error: unknown } {
  const [state, setState] = useState<{ value: T | null; error: unknown }>({ value: null, error: null });
  useEffect(() => {
    const abort = new AbortController();
    setState({ value: null, error: null });
    fetcher(abort.signal).then(
      (value) => abort.signal.aborted || setState({ value, error: null }),
      (error: unknown) => abort.signal.aborted || setState({ value: null, error }),
    );
    return () => abort.abort();
  }, keys);
  return state;
}

/** The time of the server, renewed each second while `on`. */
export function useTicking(on: boolean): void {
  const [, setTick] = useState(0);
  useEffect(() => {
    if (!on) return;
    const timer = window.setInterval(() => setTick((tick) => tick + 1), 1000);
    return () => window.clearInterval(timer);
  }, [on]);
}
