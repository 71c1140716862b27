// A run in a notebook: state, chart of energies, structure. No library, no request.
const SVG = "http://www.w3.org/2000/svg";
const COLOURS = { H: "#bbb", C: "#555", N: "#36c", O: "#d33", F: "#3a3", S: "#cb0", Cl: "#3a3", P: "#e80" };

function made(name, attributes, parent, text) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  parent.append(node);
  return node;
}

function chart(box, view) {
  box.replaceChildren();
  const { values, series } = view;
  if (values.length < 2) return;
  const low = Math.min(...values), high = Math.max(...values), span = high - low || 1;
  const points = values.map((value, index) => `${(index * 400) / (values.length - 1)},${((high - value) / span) * 120}`);
  made("title", {}, box, `${series}: ${values.length} energies from ${low} to ${high} hartree`);
  made("polyline", { points: points.join(" "), fill: "none", stroke: "currentColor", "stroke-width": 1.5 }, box);
  made("text", { x: 0, y: 140, "font-size": 11, fill: "currentColor" }, box, `${series} ${values.length}, ${low.toFixed(6)} to ${high.toFixed(6)} Eh`);
}

function structure(box, found, turn) {
  box.replaceChildren();
  if (!found) return;
  const count = found.positions.length;
  const centre = [0, 1, 2].map((axis) => found.positions.reduce((sum, row) => sum + row[axis], 0) / count);
  const [a, b] = turn;
  const atoms = found.positions.map((row, index) => {
    const [x, y, z] = row.map((value, axis) => value - centre[axis]);
    const u = x * Math.cos(a) + z * Math.sin(a), w = z * Math.cos(a) - x * Math.sin(a);
    return { symbol: found.symbols[index], row, u, v: y * Math.cos(b) - w * Math.sin(b), depth: w * Math.cos(b) + y * Math.sin(b) };
  });
  const scale = 60 / Math.max(1, ...atoms.map((atom) => Math.hypot(atom.u, atom.v)));
  const near = (one, two) => Math.hypot(...one.row.map((value, axis) => value - two.row[axis])) < (one.symbol === "H" || two.symbol === "H" ? 1.3 : 1.9);
  const at = (atom) => [75 + scale * atom.u, 75 - scale * atom.v];
  made("title", {}, box, `${count} atoms: ${found.symbols.join(" ")}; drag to turn`);
  atoms.forEach((one, index) => atoms.slice(index + 1).filter((two) => near(one, two)).forEach((two) => {
    const [[x1, y1], [x2, y2]] = [at(one), at(two)];
    made("line", { x1, y1, x2, y2, stroke: "#888", "stroke-width": 3 }, box);
  }));
  for (const atom of [...atoms].sort((one, two) => one.depth - two.depth)) {
    const [cx, cy] = at(atom);
    made("circle", { cx, cy, r: atom.symbol === "H" ? 6 : 9, fill: COLOURS[atom.symbol] ?? "#a6c", stroke: "#222", "stroke-width": 0.5 }, box);
    made("text", { x: cx, y: cy + 3, "font-size": 9, "text-anchor": "middle", fill: "#fff" }, box, atom.symbol);
  }
}

function render({ model, el }) {
  const head = document.createElement("div"), bar = document.createElement("progress"), line = document.createElement("div");
  head.style.fontWeight = "bold";
  bar.max = 100;
  bar.setAttribute("aria-label", "progress");
  const graph = made("svg", { width: 420, height: 150, viewBox: "0 -5 420 155", role: "img" }, el);
  const picture = made("svg", { width: 150, height: 150, viewBox: "0 0 150 150", role: "img" }, el);
  picture.style.touchAction = "none";
  el.prepend(head, bar, line);
  let turn = [0.4, 0.3];
  const draw = () => {
    const view = model.get("view");
    head.textContent = `${view.title}  ${view.method}`;
    bar.value = view.percent;
    const energy = view.energy === null ? "" : `  ${view.energy.toFixed(8)} Eh`;
    line.textContent = `${view.status} ${Math.round(view.percent)}%  ${view.words}${energy}  ${view.message}`;
    chart(graph, view);
    structure(picture, view.structure, turn);
  };
  picture.addEventListener("pointermove", (event) => {
    if (!event.buttons) return;
    turn = [turn[0] + event.movementX / 60, turn[1] + event.movementY / 60];
    structure(picture, model.get("view").structure, turn);
  });
  model.on("change:view", draw);
  draw();
  return () => model.off("change:view", draw);
}

export default { render };
