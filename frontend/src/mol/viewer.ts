// One 3D view for all pages: browsers allow few WebGL contexts, so the same canvas moves to where it is needed.

import type { Atom, Model, Viewer as Engine } from "3dmol/build/3Dmol.es6-min.js";
import { xyzText } from "../spec";
import { colour } from "../theme";
import type { Geometry, Vector } from "../types";
import type { Grid } from "./grid";
import { broadside } from "./pose";

/** Quiet element colours that hold on light and dark paper. */
const ELEMENTS: Record<string, string> = {
  H: "#d9d5ca", C: "#57544d", N: "#4564b0", O: "#c4472f", F: "#5c9a6b", Cl: "#4f8f4a", S: "#c9a227", P: "#c9762b", B: "#c08a80", Li: "#8b6fb0",
  Na: "#8267ab", Be: "#9aa34a", Si: "#a08d68", Br: "#8f4a35", I: "#6f3f8c", Fe: "#b0653a", He: "#9cc3c7", Ne: "#8fb6c6",
};
const STYLE = {
  stick: { radius: 0.11, colorscheme: { prop: "elem", map: ELEMENTS } },
  sphere: { scale: 0.26, colorscheme: { prop: "elem", map: ELEMENTS } },
};

/** Squares of distances below this one, angstrom^2, are no bond to the engine. */
const NOT_BONDED = 0.5;

/** The engine leaves room for at least 5 angstrom: smaller molecules are brought closer. */
function closer({ coordinates_angstrom: at }: Geometry): number {
  const spans = [0, 1, 2].map((axis) => Math.max(...at.map((point) => point[axis]!)) - Math.min(...at.map((point) => point[axis]!)));
  return Math.max(1, 5 / (Math.hypot(...spans) + 0.8));
}

/** Whether the browser draws in 3D at all; asked before the engine is loaded, which would only complain. */
function canDraw(): boolean {
  const context = document.createElement("canvas").getContext("webgl2");
  context?.getExtension("WEBGL_lose_context")?.loseContext();
  return context !== null;
}

export class Viewer {
  private readonly model: { now: Model | null; key: string } = { now: null, key: "" };
  private shapes = "";
  private readonly observer = new ResizeObserver(() => this.engine.resize());

  private constructor(
    private readonly engine: Engine,
    readonly element: HTMLElement,
  ) {}

  static async open(): Promise<Viewer> {
    if (!canDraw()) throw new Error("this browser has no WebGL");
    const { createViewer } = await import("3dmol/build/3Dmol.es6-min.js");
    const element = document.createElement("div");
    element.className = "stage-3d";
    // The engine measures its element when it is made.
    document.body.append(element);
    const engine = createViewer(element, { antialias: true, backgroundAlpha: 0, disableFog: true });
    return new Viewer(engine, element);
  }

  /** Draw in `host` from now on. */
  moveTo(host: HTMLElement): void {
    if (this.element.parentElement !== host) host.append(this.element);
    this.engine.resize();
    this.observer.disconnect();
    this.observer.observe(host);
  }

  /** Take the colours of the theme. */
  colours(): void {
    // An opaque ground: lobes that are half transparent would pale on a transparent one.
    this.engine.setBackgroundColor(colour("surface"), 1);
    this.engine.render();
  }

  /** Atoms with their bonds. The engine bonds none that are nearer than 0.71 angstrom, where two hydrogens may well be. */
  private modelOf(geometry: Geometry): Model {
    const model = this.engine.addModel(xyzText(geometry), "xyz");
    const atoms = model.selectedAtoms({});
    for (const [a, one] of atoms.entries())
      for (const [b, other] of atoms.entries())
        if (a !== b && (one.x - other.x) ** 2 + (one.y - other.y) ** 2 + (one.z - other.z) ** 2 < NOT_BONDED && !one.bonds.includes(b)) {
          one.bonds.push(b);
          one.bondOrder.push(1);
        }
    model.setStyle({}, STYLE);
    return model;
  }

  /** Show a structure; the point of view stays while the atoms are the same ones. */
  show(geometry: Geometry): void {
    const key = geometry.symbols.join(" ");
    if (key === this.model.key && this.model.now) {
      this.place(geometry.coordinates_angstrom, true);
      return;
    }
    this.engine.removeAllModels();
    this.clearOrbital();
    this.model.now = this.modelOf(geometry);
    this.model.key = key;
    this.engine.zoomTo();
    const view = this.engine.getView();
    this.engine.setView([...view.slice(0, 4), ...broadside(geometry.coordinates_angstrom)]);
    this.engine.zoom(0.9 * closer(geometry));
    // Not quite flat, so that depth shows.
    this.engine.rotate(20, "y");
    this.engine.rotate(14, "x");
    this.engine.render();
  }

  /** Move the atoms; bonds are kept, or found anew where the structure itself has changed. */
  place(coordinates: Vector[], rebond = false): void {
    const model = this.model.now;
    if (!model) return;
    if (rebond) {
      this.engine.removeAllModels();
      this.model.now = this.modelOf({ symbols: this.model.key.split(" "), coordinates_angstrom: coordinates });
    } else {
      model.selectedAtoms({}).forEach((atom: Atom, index: number) => {
        const at = coordinates[index];
        if (at) [atom.x, atom.y, atom.z] = at;
      });
      model.setStyle({}, STYLE);
    }
    this.engine.render();
  }

  /** Show both lobes of an orbital at plus and minus `isovalue`. */
  orbital(grid: Grid, isovalue: number): void {
    const key = `${grid.key} ${isovalue} ${colour("accent")}`;
    if (key === this.shapes) return;
    this.shapes = key;
    this.engine.removeAllShapes();
    for (const [sign, name] of [[1, "accent"], [-1, "warm"]] as const)
      this.engine.addIsosurface(grid.volume, { isoval: sign * isovalue, color: colour(name), opacity: 0.8, smoothness: 3 });
    this.engine.render();
  }

  clearOrbital(): void {
    if (!this.shapes) return;
    this.shapes = "";
    this.engine.removeAllShapes();
    this.engine.render();
  }

  /** The picture as a PNG data URL. */
  picture(): string {
    this.engine.render();
    return this.engine.pngURI();
  }
}

let shared: Promise<Viewer> | null = null;

/** The one view; made when it is first asked for. */
export function viewer(): Promise<Viewer> {
  shared ??= Viewer.open().catch((error: unknown) => {
    shared = null;
    throw error;
  });
  return shared;
}
