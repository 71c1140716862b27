// Light or dark: the system's, until a person chooses.

import { signal } from "@preact/signals";

const KEY = "kanad.theme";
const system = window.matchMedia("(prefers-color-scheme: dark)");
const stored = localStorage.getItem(KEY);

export const isDark = signal(stored ? stored === "dark" : system.matches);

system.addEventListener("change", (event) => {
  if (localStorage.getItem(KEY) === null) isDark.value = event.matches;
});

export function toggleTheme(): void {
  isDark.value = !isDark.peek();
  const name = isDark.peek() ? "dark" : "light";
  localStorage.setItem(KEY, name);
  document.documentElement.dataset["theme"] = name;
}

/** A value of the theme as it is now, for canvases, which know no light-dark(). */
export function colour(name: string): string {
  const value = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const pair = /^light-dark\((.+),\s*(.+)\)$/.exec(value);
  return pair ? pair[isDark.peek() ? 2 : 1]! : value;
}
