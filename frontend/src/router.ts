// The page is the URL: path and query as a signal.

import { signal } from "@preact/signals";

export interface Place {
  path: string;
  query: URLSearchParams;
}

const read = (): Place => ({ path: window.location.pathname, query: new URLSearchParams(window.location.search) });

export const place = signal<Place>(read());

/** Go to a page of ours. */
export function navigate(to: string, { replace = false } = {}): void {
  if (replace) history.replaceState(null, "", to);
  else history.pushState(null, "", to);
  if (arrive()) window.scrollTo(0, 0);
}

/** Read the address; whether it is another page. */
function arrive(): boolean {
  const next = read();
  const isOther = next.path !== place.peek().path;
  headingWanted ||= isOther;
  place.value = next;
  return isOther;
}

/** Change some of the query and keep the rest; null takes one away. */
export function setQuery(changes: Record<string, string | null>, { replace = true } = {}): void {
  const query = new URLSearchParams(place.peek().query);
  for (const [name, value] of Object.entries(changes))
    if (value === null || value === "") query.delete(name);
    else query.set(name, value);
  const text = query.toString();
  navigate(place.peek().path + (text ? `?${text}` : ""), { replace });
}

let headingWanted = false;

/** After a change of page its heading takes the focus, when it is there, so that keyboard and screen reader start at the top. */
export function focusOnArrival(heading: HTMLElement | null): void {
  if (!headingWanted || !heading) return;
  headingWanted = false;
  heading.focus({ preventScroll: true });
}

/** Follow plain clicks on our own links without loading the page anew. */
export function listen(): void {
  window.addEventListener("popstate", () => void arrive());
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = (event.target as Element).closest?.("a");
    if (!link || link.target || link.hasAttribute("download") || link.origin !== window.location.origin) return;
    if (/^\/(api|docs|health|metrics|openapi|assets|asyncapi)/.test(link.pathname)) return;
    if (link.hash && link.pathname === window.location.pathname) return;
    event.preventDefault();
    navigate(link.pathname + link.search);
  });
}
