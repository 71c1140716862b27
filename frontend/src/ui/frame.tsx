// What every drawing has around it: its own tools, PNG, CSV, and its numbers as a table.

import type { ComponentChildren } from "preact";
import { useId, useState } from "preact/hooks";
import { colour } from "../theme";
import { save } from "./parts";

type Cell = string | number | null;

/** The drawn numbers, for CSV and the table. */
export interface Data {
  columns: string[];
  rows: () => Cell[][];
}

export interface FrameProps {
  /** What is drawn, for those who cannot see it. */
  label: string;
  file: string;
  data: Data;
  /** Draw the picture again on an own canvas; called when a person asks for it. */
  picture: () => Promise<HTMLCanvasElement | null> | HTMLCanvasElement | null;
  tools?: ComponentChildren;
  /** Stands before PNG, CSV and the table. */
  also?: ComponentChildren;
  children: ComponentChildren;
}

const SHOWN_ROWS = 1_000;

export function Frame({ label, file, data, picture, tools, also, children }: FrameProps) {
  const [open, setOpen] = useState(false);
  const table = useId();
  return (
    <figure class="plot">
      <div class="plot-tools">
        <div class="group">{tools}</div>
        <div class="group">
          {also}
          <button type="button" class="button quiet small" onClick={() => void savePicture(picture, file)}>
            PNG
          </button>
          <button type="button" class="button quiet small" onClick={() => save(`${file}.csv`, new Blob([csv(data)], { type: "text/csv" }))}>
            CSV
          </button>
          <button type="button" class="button quiet small" aria-expanded={open} aria-controls={table} onClick={() => setOpen(!open)}>
            {open ? "Hide data" : "Show data"}
          </button>
        </div>
      </div>
      {children}
      {open ? <DataTable id={table} data={data} label={label} /> : null}
    </figure>
  );
}

function DataTable({ id, data, label }: { id: string; data: Data; label: string }) {
  const rows = data.rows();
  return (
    <div class="data-table" id={id} tabIndex={0} role="region" aria-label={`Data: ${label}`}>
      <table>
        <thead>
          <tr>
            {data.columns.map((name) => (
              <th scope="col" class="num" key={name}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.slice(-SHOWN_ROWS).map((row, index) => (
            <tr key={index}>
              {row.map((cell, at) => (
                <td class="num" key={at}>
                  {cell ?? "–"}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {rows.length > SHOWN_ROWS ? (
        <p class="small muted">
          The last {SHOWN_ROWS} of {rows.length} rows; the CSV has all.
        </p>
      ) : null}
    </div>
  );
}

export function csv({ columns, rows }: Data): string {
  const quoted = (cell: Cell) => (cell === null ? "" : typeof cell === "number" ? String(cell) : /[",\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
  return [columns, ...rows()].map((row) => row.map(quoted).join(",")).join("\n") + "\n";
}

async function savePicture(picture: FrameProps["picture"], file: string): Promise<void> {
  const canvas = await picture();
  canvas?.toBlob((blob) => blob && save(`${file}.png`, blob), "image/png");
}

/** A canvas of this size with the ground of a panel. */
export function paper(width: number, height: number): [HTMLCanvasElement, CanvasRenderingContext2D] {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d")!;
  context.fillStyle = colour("surface");
  context.fillRect(0, 0, width, height);
  return [canvas, context];
}

/** An SVG drawing on a canvas, at twice its size. */
export async function drawnSvg(svg: SVGSVGElement | null): Promise<HTMLCanvasElement | null> {
  if (!svg) return null;
  const { width, height } = svg.viewBox.baseVal;
  const copy = svg.cloneNode(true) as SVGSVGElement;
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("width", String(2 * width));
  copy.setAttribute("height", String(2 * height));
  copy.setAttribute("font-family", colour("sans"));
  // Outside the page there are no colours by name.
  const text = new XMLSerializer().serializeToString(copy).replace(/var\(--([\w-]+)\)/g, (_, name: string) => colour(name));
  const image = new Image();
  image.src = `data:image/svg+xml,${encodeURIComponent(text)}`;
  await image.decode();
  const [canvas, context] = paper(2 * width, 2 * height);
  context.drawImage(image, 0, 0);
  return canvas;
}
