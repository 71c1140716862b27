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

/** A colour of the theme as it is now, for canvases. */
export const colour = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
