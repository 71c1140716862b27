// Only what is in view is in the page: which rows of a long list to draw.

import { useEffect, useRef, useState } from "preact/hooks";
import type { RefObject } from "preact";

const OVERSCAN = 8;

export interface View {
  first: number;
  last: number;
}

/** The rows of `count`, each `height` px high, that the window shows of the list in `box`. */
export function useWindowRows(count: number, height: number): { box: RefObject<HTMLDivElement>; view: View } {
  const box = useRef<HTMLDivElement>(null);
  const [view, setView] = useState<View>({ first: 0, last: Math.min(count, 30) });
  useEffect(() => {
    let frame = 0;
    const look = () => {
      frame = 0;
      if (!box.current) return;
      const top = -box.current.getBoundingClientRect().top;
      const first = Math.max(0, Math.floor(top / height) - OVERSCAN);
      const last = Math.min(count, Math.ceil((top + window.innerHeight) / height) + OVERSCAN);
      setView((before) => (before.first === first && before.last === last ? before : { first, last: Math.max(first, last) }));
    };
    const soon = () => (frame ||= requestAnimationFrame(look));
    look();
    window.addEventListener("scroll", soon, { passive: true });
    window.addEventListener("resize", soon);
    return () => {
      cancelAnimationFrame(frame);
      window.removeEventListener("scroll", soon);
      window.removeEventListener("resize", soon);
    };
  }, [count, height]);
  return { box, view };
}

/** Whether the page is as narrow as a phone. */
export function useNarrow(limit = 760): boolean {
  const query = window.matchMedia(`(max-width: ${limit}px)`);
  const [narrow, setNarrow] = useState(query.matches);
  useEffect(() => {
    const change = () => setNarrow(query.matches);
    query.addEventListener("change", change);
    return () => query.removeEventListener("change", change);
  }, [limit]);
  return narrow;
}
