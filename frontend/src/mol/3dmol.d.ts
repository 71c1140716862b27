// The little of 3Dmol that these pages use.
declare module "3dmol/build/3Dmol.es6-min.js" {
  export interface Atom {
    x: number;
    y: number;
    z: number;
    /** The atoms that it is bonded to, by their numbers, and of which order. */
    bonds: number[];
    bondOrder: number[];
  }
  export interface Model {
    selectedAtoms(selection: object): Atom[];
    setStyle(selection: object, style: object): void;
  }
  export interface Shape {}
  export interface Viewer {
    addModel(text: string, format: string): Model;
    removeAllModels(): void;
    addIsosurface(volume: object, style: object): Shape;
    removeAllShapes(): void;
    removeAllLabels(): void;
    addLabel(text: string, options: object, selection?: object): unknown;
    setBackgroundColor(colour: string, alpha: number): void;
    getView(): number[];
    setView(view: number[]): void;
    zoomTo(selection?: object): void;
    zoom(factor: number): void;
    rotate(angle: number, axis: string): void;
    resize(): void;
    render(): void;
    pngURI(): string;
  }
  export function createViewer(element: HTMLElement, options: object): Viewer;
}
