// A chart: uPlot with our colours, reference lines, a readout, zoom that survives new data, in a frame.

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { colour, isDark } from "../theme";
import { fixed, scientific } from "../units";
import { Frame, paper, type Data } from "./frame";

export interface Trace {
  name: string;
  /** The name of a colour of the theme, such as plot-1. */
  colour: string;
  values: (number | null)[];
  dash?: boolean;
  points?: boolean;
  width?: number;
}

export interface Mark {
  at: number;
  name: string;
  colour: string;
}

export interface PlotProps {
  /** What the chart shows, for those who cannot see it. */
  label: string;
  file: string;
  x: number[];
  /** Names of the places 0, 1, 2, ..., for an axis of things and not of numbers. */
  xNames?: string[];
  xLabel: string;
  yLabel: string;
  traces: Trace[];
  /** Name the traces even where there is one. */
  legend?: boolean;
  marks?: Mark[];
  band?: { low: number; high: number; name: string } | null;
  verticals?: { at: number; name: string }[];
  sticks?: { at: number; height: number }[];
  log?: boolean;
  reverse?: boolean;
  /** Changes when the arrays have grown; they may be the same arrays. */
  version?: number;
  height?: number;
  tools?: ComponentChildren;
  readout?: (index: number) => string;
  hover?: (index: number | null) => void;
  table: Data;
  empty?: string;
}

/** Axes that count. */
const COUNTED: ReadonlySet<string> = new Set(["Iteration", "Step"]);
/** Steps between the ticks of such an axis. */
const WHOLE = [1, 10, 100, 1e3, 1e4, 1e5, 1e6].flatMap((power) => [power, 2 * power, 5 * power]);
/** The smallest part of the x axis that a zoom shows. */
const LEAST_PART = 1e-5;
/** The least height of the y axis, relative to its values: below it, ticks would be closer than two doubles are. */
const LEAST_HEIGHT = 1e-9;

export function Plot(props: PlotProps) {
  const body = useRef<HTMLDivElement>(null);
  const text = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot | null>(null);
  const latest = useRef(props);
  latest.current = props;
  const zoom = useRef<[number, number] | null>(null);
  const [zoomed, setZoomed] = useState(false);
  const dark = isDark.value;
  // What needs a new chart; everything else is new data in the old one.
  const form = JSON.stringify([props.traces.map(({ name, colour, dash, points, width }) => [name, colour, dash, points, width]), props.log, props.reverse, props.xLabel, props.yLabel, props.xNames, dark]);

  function setZoom(asked: [number, number] | null): void {
    const range = asked && atLeast(asked, extent(latest.current.x));
    zoom.current = range;
    setZoomed(range !== null);
    if (chart.current) fit(chart.current, latest.current, range);
  }

  useEffect(() => {
    const made = new uPlot(options(latest, body.current!, setZoom, text), dataOf(latest.current), body.current!);
    chart.current = made;
    fit(made, latest.current, zoom.current);
    const observer = new ResizeObserver(() => {
      const width = body.current?.clientWidth ?? 0;
      if (width && width !== made.width) made.setSize({ width, height: made.height });
    });
    observer.observe(body.current!);
    return () => {
      observer.disconnect();
      made.destroy();
      chart.current = null;
    };
  }, [form]);

  useEffect(() => {
    const frame = requestAnimationFrame(() => {
      if (!chart.current) return;
      chart.current.setData(dataOf(latest.current), false);
      fit(chart.current, latest.current, zoom.current);
    });
    return () => cancelAnimationFrame(frame);
  }, [props.version, props.x, props.traces, props.marks?.length, props.band?.low, props.verticals?.length, props.sticks, form]);

  function onKeyDown(event: KeyboardEvent): void {
    const made = chart.current;
    if (!made || !props.x.length) return;
    const whole = extent(props.x);
    const [low, high] = zoom.current ?? whole;
    const middle = made.cursor.idx === null || made.cursor.idx === undefined ? (low + high) / 2 : props.x[made.cursor.idx]!;
    const half = (high - low) / 2;
    if (event.key === "+" || event.key === "=") setZoom([middle - half / 2, middle + half / 2]);
    else if (event.key === "-") setZoom(half * 4 >= whole[1] - whole[0] ? null : [middle - half * 2, middle + half * 2]);
    else if (event.key === "0" || event.key === "Escape") setZoom(null);
    else if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
      const right = event.key === "ArrowRight";
      const first = Math.max(0, props.x.findIndex((place) => place >= low));
      const behind = props.x.findIndex((place) => place > high);
      const last = behind < 0 ? props.x.length - 1 : behind - 1;
      const at = Math.min(last, Math.max(first, (made.cursor.idx ?? (right ? first - 1 : last + 1)) + (right ? 1 : -1)));
      const value = props.traces.map((trace) => trace.values[at]).find((one) => one !== null && one !== undefined) ?? 0;
      made.setCursor({ left: made.valToPos(props.x[at]!, "x"), top: made.valToPos(value, "y") });
    } else return;
    event.preventDefault();
  }

  return (
    <Frame
      label={props.label}
      file={props.file}
      data={props.table}
      tools={props.tools}
      picture={() => pictureOf(chart.current)}
      also={
        zoomed ? (
          <button type="button" class="button quiet small" onClick={() => setZoom(null)}>
            Whole range
          </button>
        ) : null
      }
    >
      <div class="plot-body" ref={body} tabIndex={0} role="application" aria-roledescription="chart" aria-label={`${props.label}. Arrow keys read points, plus and minus zoom, 0 shows everything.`} onKeyDown={onKeyDown}>
        {props.x.length ? null : <div class="wait">{props.empty ?? "No points yet"}</div>}
      </div>
      <Legend {...props} />
      <div class="readout num" ref={text} aria-live="polite" />
    </Frame>
  );
}

function Legend({ traces, marks = [], band, log, legend }: PlotProps) {
  const keys = [
    ...(traces.length > 1 || legend ? traces.map((trace) => ({ name: trace.name, colour: trace.colour, kind: "key" })) : []),
    ...(log ? [] : marks.map((mark) => ({ name: mark.name, colour: mark.colour, kind: "key dash" }))),
    ...(band ? [{ name: band.name, colour: "accent", kind: "key band" }] : []),
  ];
  if (!keys.length) return null;
  return (
    <figcaption class="readout">
      {keys.map((key) => (
        <span class={key.kind} key={key.name} style={{ "--key": `var(--${key.colour})` }}>
          {key.name}
        </span>
      ))}
    </figcaption>
  );
}

/** What the chart shows now, with the ground of its panel. */
function pictureOf(chart: uPlot | null): HTMLCanvasElement | null {
  if (!chart) return null;
  const drawn = chart.ctx.canvas;
  const [canvas, context] = paper(drawn.width, drawn.height);
  context.drawImage(drawn, 0, 0);
  return canvas;
}

// The chart itself

const dataOf = (props: PlotProps): uPlot.AlignedData => [props.x, ...props.traces.map((trace) => (props.log ? trace.values.map((value) => (value === null || value <= 0 ? null : value)) : trace.values))] as uPlot.AlignedData;

function extent(x: number[]): [number, number] {
  if (!x.length) return [0, 1];
  const [first, last] = [x[0]!, x[x.length - 1]!];
  return first === last ? [first - 0.5, last + 0.5] : [first, last];
}

/** The range, widened about its middle to the least part of the whole. */
function atLeast([low, high]: [number, number], [first, last]: [number, number]): [number, number] {
  const half = Math.max(high - low, (last - first) * LEAST_PART) / 2;
  return [(low + high) / 2 - half, (low + high) / 2 + half];
}

function fit(chart: uPlot, props: PlotProps, zoom: [number, number] | null): void {
  const [low, high] = extent(props.x);
  const room = props.xNames ? 0.25 : 0;
  const [min, max] = zoom ?? [low - room, high + room];
  chart.batch(() => chart.setScale("x", { min, max }));
}

type Latest = { current: PlotProps };

function rangeOf(latest: Latest, low: number | null, high: number | null): [number, number] {
  const { marks = [], band, log, sticks } = latest.current;
  if (log) {
    if (low === null || high === null || low <= 0) return [1e-8, 1];
    return [10 ** Math.floor(Math.log10(low)), 10 ** Math.ceil(Math.log10(Math.max(high, low * 1.01)))];
  }
  const places = marks.map((mark) => mark.at);
  if (band) places.push(band.low, band.high);
  if (low !== null) places.push(low);
  if (high !== null) places.push(high);
  if (!places.length) return [0, 1];
  let [bottom, top] = [Math.min(...places), Math.max(...places)];
  if (sticks) bottom = Math.min(0, bottom);
  const least = Math.max(Math.abs(bottom), Math.abs(top)) * LEAST_HEIGHT;
  const room = Math.max((top - bottom) * 0.08, least) || 1e-6;
  return [sticks ? bottom : bottom - room, top + room];
}

/** Tick texts with as many digits as the distance between ticks needs: 0.025 needs three. */
export function tickTexts(splits: number[], increment: number): string[] {
  let digits = Math.min(10, Math.max(0, Math.ceil(-Math.log10(increment) - 1e-9)));
  const units = increment * 10 ** digits;
  if (digits < 10 && Math.abs(units - Math.round(units)) > 1e-6) digits += 1;
  return splits.map((value) => fixed(value, digits));
}

const font = () => `12px ${colour("sans")}`;

function options(latest: Latest, element: HTMLElement, setZoom: (range: [number, number] | null) => void, text: { current: HTMLElement | null }): uPlot.Options {
  const props = latest.current;
  const axis = { stroke: colour("ink-3"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false }, font: font(), labelFont: font(), labelSize: 20, gap: 6 };
  return {
    width: element.clientWidth || 600,
    height: props.height ?? 320,
    padding: [12, 12, 0, 0],
    legend: { show: false },
    scales: {
      x: { time: false, dir: props.reverse ? -1 : 1, range: (_, low, high) => [low, high] },
      y: { distr: props.log ? 3 : 1, range: (_, low, high) => rangeOf(latest, low, high) },
    },
    axes: [
      { ...axis, label: props.xLabel, ...(COUNTED.has(props.xLabel) || props.xNames ? { incrs: WHOLE } : {}), size: 34, grid: { show: false }, values: (_, splits, __, ___, increment) => (props.xNames ? splits.map((at) => props.xNames![at] ?? "") : tickTexts(splits, increment)) },
      {
        ...axis,
        label: props.yLabel,
        // Of a logarithmic axis only the decades have lines.
        ...(props.log ? { filter: (_: uPlot, splits: number[]) => splits.map((value) => (Math.abs(Math.log10(value) % 1) < 1e-6 ? value : null)) } : {}),
        size: (_, values) => Math.max(40, 14 + 6.8 * Math.max(0, ...(values ?? []).map((value) => (value ?? "").length))),
        values: (_, splits, __, ___, increment) => (props.log ? splits.map((value) => (Math.abs(Math.log10(value) % 1) < 1e-6 ? scientific(value, 0).replace(/^1\u2009×\u2009/, "") : "")) : tickTexts(splits, increment)),
      },
    ],
    series: [
      {},
      ...props.traces.map((trace) => ({
        label: trace.name,
        stroke: colour(trace.colour),
        width: trace.width ?? 1.5,
        ...(trace.dash ? { dash: [5, 4] } : {}),
        spanGaps: true,
        points: { show: (chart: uPlot) => (trace.points === false ? false : chart.data[0].length <= 60), size: 5, fill: colour("surface"), stroke: colour(trace.colour), width: 1.5 },
      })),
    ],
    cursor: { drag: { x: true, y: false, setScale: false }, y: false, points: { size: 7 } },
    hooks: {
      drawClear: [(chart) => drawUnder(chart, latest.current)],
      setSelect: [
        (chart) => {
          if (chart.select.width > 4) {
            const ends = [chart.posToVal(chart.select.left, "x"), chart.posToVal(chart.select.left + chart.select.width, "x")].sort((a, b) => a - b);
            setZoom(ends as [number, number]);
          }
          chart.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        },
      ],
      setCursor: [
        (chart) => {
          const at = chart.cursor.idx;
          const here = at !== null && at !== undefined && (chart.cursor.left ?? -1) >= 0;
          if (text.current) text.current.textContent = here ? (latest.current.readout?.(at) ?? "") : "";
          latest.current.hover?.(here ? at : null);
        },
      ],
      ready: [(chart) => chart.over.addEventListener("dblclick", () => setZoom(null))],
    },
  };
}

/** Reference lines, bands and sticks, under the curves. */
function drawUnder(chart: uPlot, { marks = [], band, verticals = [], sticks = [], log }: PlotProps): void {
  const { ctx, bbox } = chart;
  const scale = window.devicePixelRatio || 1;
  const y = (value: number) => chart.valToPos(value, "y", true);
  const x = (value: number) => chart.valToPos(value, "x", true);
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  if (band && (!log || band.high > 0)) {
    const top = y(band.high);
    const bottom = log && band.low <= 0 ? bbox.top + bbox.height : y(band.low);
    ctx.fillStyle = colour("accent");
    ctx.globalAlpha = 0.12;
    ctx.fillRect(bbox.left, top, bbox.width, bottom - top);
    ctx.globalAlpha = 1;
  }
  const stroke = (name: string, dash: number[], width: number, draw: () => void) => {
    ctx.strokeStyle = colour(name);
    ctx.setLineDash(dash.map((part) => part * scale));
    ctx.lineWidth = width * scale;
    ctx.beginPath();
    draw();
    ctx.stroke();
  };
  if (!log)
    for (const mark of marks)
      stroke(mark.colour, [5, 4], 1.2, () => {
        ctx.moveTo(bbox.left, y(mark.at));
        ctx.lineTo(bbox.left + bbox.width, y(mark.at));
      });
  for (const vertical of verticals)
    stroke("ink-3", [2, 3], 1, () => {
      ctx.moveTo(x(vertical.at), bbox.top);
      ctx.lineTo(x(vertical.at), bbox.top + bbox.height);
    });
  if (sticks.length)
    stroke("ink-3", [], 1.2, () => {
      for (const stick of sticks) {
        ctx.moveTo(x(stick.at), y(0));
        ctx.lineTo(x(stick.at), y(stick.height));
      }
    });
  ctx.restore();
}
