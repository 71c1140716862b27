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

/** The part of a box that is to be seen, and the whole of it: what a person can scroll to or is told by "…" counts as seen. */
function visible(box, element) {
  let { left, top, right, bottom } = box;
  const whole = { left, top, right, bottom };
  const within = (edge) => {
    [left, top, right, bottom] = [Math.max(left, edge.left), Math.max(top, edge.top), Math.min(right, edge.right), Math.min(bottom, edge.bottom)];
  };
  for (let at = element; at && at !== document.documentElement; at = at.parentElement) {
    const style = getComputedStyle(at);
    const scrolls = /auto|scroll/.test(style.overflowX);
    if (!scrolls && style.overflowX === "visible" && !/strict|content|paint/.test(style.contain)) continue;
    within(at.getBoundingClientRect());
    if (scrolls || style.textOverflow === "ellipsis") Object.assign(whole, { left, top, right, bottom });
    if (style.position === "fixed") break;
  }
  const size = (edge) => ({ ...edge, width: edge.right - edge.left, height: edge.bottom - edge.top });
  return { shown: size({ left, top, right, bottom }), whole: size(whole) };
}

/** Every line of text in the page, with its place. */
function texts() {
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const holder = node.parentElement;
    if (!node.data.trim() || !holder.checkVisibility({ visibilityProperty: true, opacityProperty: true }) || holder.closest(".visually-hidden, .skip, option, script, style")) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const box of range.getClientRects()) {
      if (box.width < 1) continue;
      const { shown, whole } = visible(box, holder);
      if (whole.width > 0 && whole.height > 0) found.push({ holder, words: node.data.trim().slice(0, 40), shown, whole });
    }
  }
  return found;
}

/** Those of `all` that lie on each other, sticky and floating things left out: they lie on what is under them. */
function pairs(all) {
  const flat = all.filter(({ holder, shown }) => shown.width > 0 && shown.height > 0 && !floats(holder)).sort((a, b) => a.shown.top - b.shown.top);
  const found = [];
  flat.forEach((one, index) => {
    for (let at = index + 1; at < flat.length && flat[at].shown.top < one.shown.bottom; at += 1) {
      const other = flat[at];
      if (one.holder.contains(other.holder) || other.holder.contains(one.holder)) continue;
      const wide = Math.min(one.shown.right, other.shown.right) - Math.max(one.shown.left, other.shown.left);
      const high = Math.min(one.shown.bottom, other.shown.bottom) - Math.max(one.shown.top, other.shown.top);
      if (wide > 2 && high > 4) found.push([one, other]);
    }
  });
  return found;
}

const floats = (element) => {
  for (let at = element; at; at = at.parentElement) if (["sticky", "fixed"].includes(getComputedStyle(at).position)) return true;
  return false;
};

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

  /** Texts that their box or the window cuts off without a sign of it (an ellipsis, or something that scrolls). */
  cut: () =>
    [
      ...texts().filter(({ whole, shown }) => whole.width - shown.width > 1 || whole.height - shown.height > 3).map(({ words }) => words),
      ...[...document.querySelectorAll("input[type=text]")].filter((one) => one.checkVisibility() && one.scrollWidth > one.clientWidth + 1).map((one) => one.value),
    ]
      .slice(0, 4)
      .map((words) => `cut: ${words}`),

  /** Pairs of texts, and of controls, that lie on each other. */
  overlapping: () => {
    const controls = [...document.querySelectorAll("a[href], button, input, select, textarea, summary")]
      .filter((one) => one.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && !one.closest(".visually-hidden, .skip"))
      .flatMap((one) => [...one.getClientRects()].map((box) => ({ holder: one, words: `${one.tagName} ${one.getAttribute("aria-label") || one.textContent}`, shown: visible(box, one).shown })));
    return [...pairs(texts()), ...pairs(controls)].slice(0, 4).map(([one, other]) => `overlapping: ${one.words} | ${other.words}`);
  },

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
