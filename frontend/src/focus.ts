// Where what has the focus goes away, the focus goes to what is next to it: a keyboard never begins again at the top.

const FOCUSABLE = "a[href], button:not(:disabled), input:not(:disabled), select:not(:disabled), textarea:not(:disabled), summary, [tabindex='0']";

let held: HTMLElement | null = null;
/** What is around it, from near to far, each with the place of what it holds in it. */
let around: [Element, number][] = [];

function remember(element: HTMLElement): void {
  held = element;
  around = [];
  for (let inside: Element = element, outside = element.parentElement; outside && outside !== document.body; inside = outside, outside = outside.parentElement)
    around.push([outside, [...outside.children].indexOf(inside)]);
}

const isThere = (element: Element): boolean => element.isConnected && (element as HTMLElement).offsetParent !== null;

/** The nearest that can have the focus now: what has come into its place, what is before it, or what is around them. */
function nearest(): HTMLElement | null {
  for (const [outside, at] of around) {
    if (!isThere(outside)) continue;
    const rest = [...outside.children];
    for (const one of [...rest.slice(at), ...rest.slice(0, at).reverse()]) {
      const found = one.matches(FOCUSABLE) ? one : one.querySelector(FOCUSABLE);
      if (found && isThere(found)) return found as HTMLElement;
    }
    if (outside.matches("[tabindex]")) return outside as HTMLElement;
  }
  return null;
}

function look(): void {
  if (!held || document.activeElement !== document.body) return;
  if (!held.isConnected) nearest()?.focus({ preventScroll: true });
  else if (!held.matches(":disabled")) held = null; // let go, as by a click beside it
}

/** Keep the focus from being lost, on every page. */
export function keepFocus(): void {
  let due = 0;
  document.addEventListener("focusin", (event) => remember(event.target as HTMLElement));
  new MutationObserver(() => {
    if (held && !due)
      due = requestAnimationFrame(() => {
        due = 0;
        look();
      });
  }).observe(document.body, { subtree: true, childList: true });
}
