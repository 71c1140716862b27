// The place on a page where the 3D view is shown.

import { useEffect, useRef, useState } from "preact/hooks";
import { isDark } from "../theme";
import type { Geometry, Vector } from "../types";
import type { Grid } from "./grid";
import { viewer, type Viewer } from "./viewer";

interface Props {
  geometry: Geometry | null;
  label: string;
  orbital?: { grid: Grid; isovalue: number } | null;
  /** Coordinates that change often, as in a vibration: drawn without finding bonds anew. */
  moved?: Vector[] | null;
}

export function MoleculeView({ geometry, label, orbital = null, moved = null }: Props) {
  const host = useRef<HTMLDivElement>(null);
  const [view, setView] = useState<Viewer | null>(null);
  const [failed, setFailed] = useState(false);
  const dark = isDark.value;

  useEffect(() => {
    let current = true;
    viewer().then(
      (opened) => {
        if (!current || !host.current) return;
        opened.moveTo(host.current);
        setView(opened);
      },
      () => current && setFailed(true),
    );
    return () => void (current = false);
  }, []);

  useEffect(() => view?.colours(), [view, dark]);

  useEffect(() => {
    if (view && geometry) view.show(geometry);
  }, [view, geometry]);

  useEffect(() => {
    if (!view) return;
    if (orbital) view.orbital(orbital.grid, orbital.isovalue);
    else view.clearOrbital();
  }, [view, orbital?.grid, orbital?.isovalue, dark]);

  useEffect(() => {
    if (view && geometry && moved) view.place(moved);
  }, [view, moved]);

  return (
    <div class="mol" role="img" aria-label={label} ref={host}>
      {failed ? (
        <div class="loading">This browser shows no 3D (WebGL is off). Coordinates are in the tables.</div>
      ) : !view || !geometry ? (
        <div class="loading">{geometry || !view ? "Loading 3D …" : ""}</div>
      ) : null}
    </div>
  );
}
