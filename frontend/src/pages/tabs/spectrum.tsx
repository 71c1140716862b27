// Excitations and vibrations as spectra: sticks, broadened as one likes.

import { useMemo, useState } from "preact/hooks";
import { broaden, onAxis, rangeOf, type Axis, type Shape, type Stick } from "../../spectrum";
import type { Result } from "../../types";
import { fixed } from "../../units";
import { Segments } from "../../ui/parts";
import { Plot } from "../../ui/plot";

const AXES: Record<Axis, string> = { ev: "Energy / eV", nm: "Wavelength / nm", cm: "Wavenumber / cm⁻¹" };

export function SpectrumTab({ result, file }: { result: Result; file: string }) {
  const excited = (result.states ?? []).filter((state) => (state.excitation_ev ?? 0) > 0 && state.oscillator_strength !== undefined);
  const vibrations = result.frequencies;
  return (
    <>
      {excited.length ? <Electronic sticks={excited.map((state) => ({ at: state.excitation_ev!, height: state.oscillator_strength! }))} file={file} /> : null}
      {vibrations ? <Infrared sticks={vibrations.wavenumbers_cm.map((at, index) => ({ at, height: vibrations.ir_km_mol[index]! })).filter((stick) => stick.at > 0)} file={file} /> : null}
    </>
  );
}

function ShapeTools(props: { shape: Shape; setShape: (shape: Shape) => void; width: number; setWidth: (width: number) => void; widths: number[]; unit: string }) {
  return (
    <>
      <Segments<Shape>
        label="Line shape"
        value={props.shape}
        options={[
          ["gaussian", "Gaussian"],
          ["lorentzian", "Lorentzian"],
        ]}
        pick={props.setShape}
      />
      <select class="compact" aria-label="Full width at half maximum" value={String(props.width)} onChange={(event) => props.setWidth(Number(event.currentTarget.value))}>
        {props.widths.map((width) => (
          <option key={width} value={String(width)}>
            {width} {props.unit} wide
          </option>
        ))}
      </select>
    </>
  );
}

function Electronic({ sticks, file }: { sticks: Stick[]; file: string }) {
  const [shape, setShape] = useState<Shape>("gaussian");
  const [axis, setAxis] = useState<Axis>("ev");
  const [width, setWidth] = useState(0.4);
  const { x, traces, shown } = useMemo(() => {
    const [low, high] = rangeOf(sticks, width);
    const [ev, ys] = broaden(sticks, shape, width, low, high);
    const pairs = ev.map((value, index): [number, number] => [onAxis(value, axis), ys[index]!]).sort((a, b) => a[0] - b[0]);
    return {
      x: pairs.map(([value]) => value),
      traces: [{ name: "Oscillator strength", colour: "plot-1", values: pairs.map(([, value]) => value), points: false }],
      shown: sticks.map((stick) => ({ at: onAxis(stick.at, axis), height: stick.height })),
    };
  }, [sticks.length, shape, axis, width]);
  return (
    <Plot
      label={`Absorption spectrum of ${sticks.length} excitations`}
      file={`${file}-spectrum`}
      x={x}
      xLabel={AXES[axis]}
      yLabel="Oscillator strength"
      traces={traces}
      sticks={shown}
      height={280}
      readout={(at) => `${fixed(x[at], axis === "ev" ? 3 : 0)} ${axis === "ev" ? "eV" : axis === "nm" ? "nm" : "cm⁻¹"}`}
      table={{ columns: ["excitation / eV", "wavelength / nm", "wavenumber / cm-1", "oscillator strength"], rows: () => sticks.map((stick) => [stick.at, onAxis(stick.at, "nm"), onAxis(stick.at, "cm"), stick.height]) }}
      tools={
        <>
          <Segments<Axis>
            label="Unit"
            value={axis}
            options={[
              ["ev", "eV"],
              ["nm", "nm"],
              ["cm", "cm⁻¹"],
            ]}
            pick={setAxis}
          />
          <ShapeTools shape={shape} setShape={setShape} width={width} setWidth={setWidth} widths={[0.1, 0.2, 0.4, 0.8]} unit="eV" />
        </>
      }
    />
  );
}

function Infrared({ sticks, file }: { sticks: Stick[]; file: string }) {
  const [shape, setShape] = useState<Shape>("lorentzian");
  const [width, setWidth] = useState(20);
  const { x, traces } = useMemo(() => {
    const high = Math.max(...sticks.map((stick) => stick.at), 1000) + 300;
    const [xs, ys] = broaden(sticks, shape, width, 0, high, 1600);
    return { x: xs, traces: [{ name: "Intensity", colour: "plot-1", values: ys, points: false }] };
  }, [sticks.length, shape, width]);
  return (
    <Plot
      label={`Infrared spectrum of ${sticks.length} vibrations`}
      file={`${file}-infrared`}
      x={x}
      xLabel="Wavenumber / cm⁻¹"
      yLabel="Intensity / (km/mol)"
      traces={traces}
      sticks={sticks}
      reverse
      height={280}
      readout={(at) => `${fixed(x[at], 0)} cm⁻¹`}
      table={{ columns: ["wavenumber / cm-1", "intensity / (km/mol)"], rows: () => sticks.map((stick) => [stick.at, stick.height]) }}
      tools={<ShapeTools shape={shape} setShape={setShape} width={width} setWidth={setWidth} widths={[5, 10, 20, 50]} unit="cm⁻¹" />}
    />
  );
}
