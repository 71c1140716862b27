// Small line drawings, all on a 16 by 16 field.

import type { StatusName } from "../types";

const PATHS: Record<string, string> = {
  queued: "M8 2.5a5.5 5.5 0 1 0 0 11a5.5 5.5 0 1 0 0-11M8 5v3.2l2 1.3",
  running: "M13.5 8a5.5 5.5 0 1 1-3-4.9",
  completed: "M3 8.6l3.2 3.2L13 4.8",
  failed: "M4 4l8 8M12 4l-8 8",
  cancelled: "M8 2.5a5.5 5.5 0 1 0 0 11a5.5 5.5 0 1 0 0-11M4.2 4.2l7.6 7.6",
  sun: "M8 5.2a2.8 2.8 0 1 0 0 5.6a2.8 2.8 0 1 0 0-5.6M8 1.5v1.3M8 13.2v1.3M1.5 8h1.3M13.2 8h1.3M3.4 3.4l.9.9M11.7 11.7l.9.9M12.6 3.4l-.9.9M4.3 11.7l-.9.9",
  moon: "M13 9.8A5.6 5.6 0 0 1 6.2 3a5.6 5.6 0 1 0 6.8 6.8z",
  play: "M4.5 3l8 5l-8 5z",
  pause: "M5.2 3v10M10.8 3v10",
  first: "M12 3.5L6.5 8l5.5 4.5zM4 3.5v9",
};

export function Icon({ name }: { name: keyof typeof PATHS | string }) {
  return (
    <svg viewBox="0 0 16 16" aria-hidden="true">
      <path d={PATHS[name] ?? ""} />
    </svg>
  );
}

/** A state, told by a sign and a word, never by colour alone. */
export function Status({ status, detail }: { status: StatusName; detail?: string | undefined }) {
  return (
    <span class={`status ${status}`}>
      <Icon name={status} />
      <span>
        {status.charAt(0).toUpperCase() + status.slice(1)}
        {detail ? <span class="muted num"> {detail}</span> : null}
      </span>
    </span>
  );
}

export function Mark() {
  return (
    <svg viewBox="0 0 32 32" aria-hidden="true">
      <path d="M4 6c4 15 9 19 24 19" />
      <circle cx="11.5" cy="19.5" r="2.6" fill="var(--paper)" />
    </svg>
  );
}
