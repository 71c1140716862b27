// Runs before the scripts of a page: what a test wants to know of the page and cannot see from outside.
window.kanadSeen = { contexts: new Set(), tasks: [], labels: [] };

// WebGL contexts, of which browsers allow few at a time.
for (const { prototype } of [HTMLCanvasElement, OffscreenCanvas]) {
  const getContext = prototype.getContext;
  prototype.getContext = function (kind, ...more) {
    const context = getContext.call(this, kind, ...more);
    if (context && /webgl/.test(kind)) window.kanadSeen.contexts.add(context);
    return context;
  };
}

// Tasks that kept the page from answering: [start, duration] in ms.
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.kanadSeen.tasks.push([entry.startTime, entry.duration]);
}).observe({ type: "longtask", buffered: true });

// How many points the convergence chart had, each time that it was another number.
new MutationObserver(() => {
  const label = document.querySelector(".plot-body[aria-label^='Convergence']")?.getAttribute("aria-label");
  const points = label === undefined || label === null ? null : Number(/: (\d+) points/.exec(label)?.[1]);
  const { labels } = window.kanadSeen;
  if (points !== null && labels[labels.length - 1] !== points) labels.push(points);
}).observe(document, { subtree: true, childList: true, attributes: true, attributeFilter: ["aria-label"] });

Object.assign(window.kanadSeen, {
  /** How many WebGL contexts there are now. */
  contextsNow: () => [...window.kanadSeen.contexts].filter((context) => !context.isContextLost()).length,

  /** The rows in the list of runs that are in the page, from top to bottom. */
  rows: () => [...document.querySelectorAll(".window .row")].sort((a, b) => Number(a.dataset.at) - Number(b.dataset.at)),

  /** The names in them. */
  names: () => window.kanadSeen.rows().map((row) => row.querySelector(".name").textContent),

  /** What reaches over the right edge of the window. */
  wide: () =>
    document.documentElement.scrollWidth <= innerWidth
      ? []
      : [...document.querySelectorAll("body *")].filter((one) => one.getBoundingClientRect().right > innerWidth + 1).slice(0, 4).map((one) => `${one.tagName}.${one.className}`),

  /** What has the focus. */
  focused: () => (document.activeElement.getAttribute("aria-label") || document.activeElement.textContent || "").trim(),

  /** Whether what has the focus shows it, itself or by what is around it. */
  focusIsShown: () => {
    const at = document.activeElement;
    const drawn = (one) => getComputedStyle(one).outlineStyle !== "none" && parseFloat(getComputedStyle(one).outlineWidth) >= 2;
    return at === document.body || (at.matches(":focus-visible") && (drawn(at) || drawn(at.parentElement) || getComputedStyle(at).boxShadow !== "none"));
  },

  /** How many elements move by themselves or slide. */
  moving: () =>
    [...document.querySelectorAll("*")].filter((one) => {
      const style = getComputedStyle(one);
      return parseFloat(style.transitionDuration) > 0.01 || (style.animationName !== "none" && parseFloat(style.animationDuration) > 0.01);
    }).length,

  /** Which rule of the page's policy stops a script in the page. */
  refusedScript: () =>
    new Promise((done) => {
      document.addEventListener("securitypolicyviolation", (event) => done(event.violatedDirective));
      const script = document.createElement("script");
      script.textContent = "document.title = 'ran'";
      document.body.append(script);
    }),

  /** Wait until so many frames were drawn. */
  drawn: (frames) => new Promise((done) => {
    const next = () => (frames-- > 0 ? requestAnimationFrame(next) : done());
    next();
  }),

  /** Times between frames over some seconds, in ms; the page is scrolled by `step` px in each. */
  frames: (seconds, step = 0) =>
    new Promise((done) => {
      const times = [];
      let last = performance.now();
      const end = last + 1000 * seconds;
      const next = () =>
        requestAnimationFrame((now) => {
          times.push(now - last);
          last = now;
          if (step) scrollBy(0, step);
          if (now < end) next();
          else done(times);
        });
      next();
    }),

  /** Begin to measure: from the next event of this kind to the second frame after it, in ms. */
  expect: (kind) => {
    window.kanadSeen.answer = new Promise((done) =>
      document.addEventListener(
        kind,
        () => {
          const begun = performance.now();
          requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - begun)));
        },
        { once: true, capture: true },
      ),
    );
  },
});
