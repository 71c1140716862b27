// Play, pause, and a slider over frames.

import { useEffect, useState } from "preact/hooks";
import { Icon } from "../../ui/icons";

export function Player({ frames, label, at, go }: { frames: number; label: (at: number) => string; at: number; go: (at: number) => void }) {
  const [playing, setPlaying] = useState(false);
  useEffect(() => {
    if (!playing) return;
    const timer = window.setTimeout(() => (at + 1 < frames ? go(at + 1) : setPlaying(false)), Math.max(60, Math.min(400, 4000 / frames)));
    return () => window.clearTimeout(timer);
  }, [playing, at, frames]);
  return (
    <div class="actions" style={{ flexWrap: "nowrap" }}>
      <button
        type="button"
        class="button"
        aria-label={playing ? "Pause" : "Play"}
        onClick={() => {
          if (!playing && at === frames - 1) go(0);
          setPlaying(!playing);
        }}
      >
        <Icon name={playing ? "pause" : "play"} />
      </button>
      <input type="range" aria-label="Frame" aria-valuetext={label(at)} min="0" max={frames - 1} value={at} onInput={(event) => go(Number(event.currentTarget.value))} />
      <span class="num small muted">{label(at)}</span>
    </div>
  );
}
