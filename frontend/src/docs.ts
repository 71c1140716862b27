// The calls of the server, by swagger-ui, which is loaded before this.

interface Asked {
  url: string;
  headers: Record<string, string>;
}

declare const SwaggerUIBundle: ((options: object) => void) & { presets: { apis: unknown } };

const system = window.matchMedia("(prefers-color-scheme: dark)");
const colour = (): void => {
  const chosen = document.documentElement.dataset["theme"];
  document.documentElement.classList.toggle("dark-mode", chosen ? chosen === "dark" : system.matches);
};
colour();
system.addEventListener("change", colour);

// What an opened call lacks for the keyboard and for screen readers.
const LACKS: [string, (element: Element) => [string, string]][] = [
  [".parameters-col_description select:not([aria-label])", (element) => ["aria-label", element.closest("tr")?.dataset["paramName"] ?? "value"]],
  [".microlight:not([tabindex]), .body-param__example:not([tabindex])", () => ["tabindex", "0"]],
  [".opblock-body h4:not([aria-level]), .opblock-body h5:not([aria-level])", () => ["aria-level", "3"]],
  [".responses-table:not([aria-label])", (element) => ["aria-label", `Responses of ${element.closest(".opblock")?.id ?? "this call"}`]],
  [".live-responses-table:not([aria-label])", () => ["aria-label", "Response"]],
];

// Calls and schemas come right under the title: a screen reader should hear no level left out.
new MutationObserver(() => {
  for (const group of document.querySelectorAll("h3.opblock-tag:not([aria-level]), .models > h4:not([aria-level])")) group.setAttribute("aria-level", "2");
  for (const [name, value] of [["role", "region"], ["aria-label", "About these calls"]] as const) document.querySelector(`.information-container:not([${name}])`)?.setAttribute(name, value);
  for (const [selector, lacked] of LACKS) for (const element of document.querySelectorAll(selector)) element.setAttribute(...lacked(element));
}).observe(document.documentElement, { childList: true, subtree: true });

// A call that is opened is in the address; an address with a call opens it.
const PREFIX = "operations-";

function openLinked(): void {
  const call = document.getElementById(PREFIX + decodeURIComponent(location.hash.slice(1)));
  if (!call) return;
  if (!call.classList.contains("is-open")) call.querySelector<HTMLElement>(".opblock-summary-control")?.click();
  call.scrollIntoView();
}
window.addEventListener("hashchange", openLinked);
document.addEventListener("click", (event) => {
  const call = (event.target as Element).closest(".opblock-summary")?.closest(".opblock");
  if (call?.id.startsWith(PREFIX)) history.replaceState(null, "", call.classList.contains("is-open") ? location.pathname : `#${encodeURIComponent(call.id.slice(PREFIX.length))}`);
}, true);

SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#calls",
  presets: [SwaggerUIBundle.presets.apis],
  // Its own links to a call would be links inside of buttons; ours are in the address alone.
  deepLinking: false,
  validatorUrl: null,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  onComplete: openLinked,
  // Whoever has signed in on the pages is signed in here.
  requestInterceptor: (asked: Asked): Asked => {
    const token = sessionStorage.getItem("kanad.token");
    if (token !== null && new URL(asked.url, location.href).origin === location.origin) asked.headers["Authorization"] = `Bearer ${token}`;
    return asked;
  },
});
