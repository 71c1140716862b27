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

// Calls and schemas come right under the title: a screen reader should hear no level left out.
new MutationObserver(() => {
  for (const group of document.querySelectorAll("h3.opblock-tag:not([aria-level]), .models > h4:not([aria-level])")) group.setAttribute("aria-level", "2");
  for (const [name, value] of [["role", "region"], ["aria-label", "About these calls"]] as const) document.querySelector(`.information-container:not([${name}])`)?.setAttribute(name, value);
}).observe(document.documentElement, { childList: true, subtree: true });

SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#calls",
  presets: [SwaggerUIBundle.presets.apis],
  // With links in them the rows of calls would be buttons around links.
  deepLinking: false,
  validatorUrl: null,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  // Whoever has signed in on the pages is signed in here.
  requestInterceptor: (asked: Asked): Asked => {
    const token = sessionStorage.getItem("kanad.token");
    if (token !== null && new URL(asked.url, location.href).origin === location.origin) asked.headers["Authorization"] = `Bearer ${token}`;
    return asked;
  },
});
