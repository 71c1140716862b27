// Runs before the scripts of a page: what a test wants to know of the page and cannot see from outside.
window.kanadSeen = { contexts: new Set(), tasks: [], labels: [] };

// Canvases that hold a WebGL context: browsers allow few.
const getContext = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...more) {
  const context = getContext.call(this, kind, ...more);
  if (context && /webgl/.test(kind)) window.kanadSeen.contexts.add(this);
  return context;
};

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
