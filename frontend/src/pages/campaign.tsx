// One campaign: how far it is, its table, and its energies side by side.

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { API, bytes, post } from "../api";
import { followCampaign } from "../live";
import type { Campaign, Member } from "../types";
import { count, duration, energy, fixed, known, lowered, moment } from "../units";
import { Status } from "../ui/icons";
import { attempt, Heading, save, say, Segments, useTitle, Waiting } from "../ui/parts";
import { Plot, type Trace } from "../ui/plot";
import { useNarrow, useWindowRows } from "../ui/virtual";
import { countsText, Share } from "./campaigns";

const COMPARED = 20;

export function CampaignPage({ id }: { id: string }) {
  const [campaign, setCampaign] = useState<Campaign | null>(null);
  const [members, setMembers] = useState<Member[]>([]);
  const [gone, setGone] = useState(false);
  useTitle(campaign?.name || "Campaign");
  useEffect(
    () =>
      followCampaign(
        id,
        (news) => {
          for (const item of news) if (item.type === "campaign") setCampaign(item.campaign);
          const changed = new Map(news.flatMap((item) => (item.type === "member" ? [[item.member.index, item.member] as const] : [])));
          if (changed.size)
            setMembers((before) => {
              const next = [...before];
              for (const [index, member] of changed) next[index] = member;
              return next;
            });
        },
        (code) => (code === 1000 ? say("Every run of the campaign has ended") : setGone(true)),
      ),
    [id],
  );
  if (!campaign) return <Waiting what="the campaign" error={gone ? new Error("There is no such campaign.") : null} />;
  const file = (campaign.name || campaign.id).replace(/[^\w.-]+/g, "-").slice(0, 60);
  const whole = members.filter(Boolean);
  return (
    <>
      <Head campaign={campaign} file={file} />
      <div class="stage">
        <span class="small muted">{countsText(campaign.counts)}</span>
        <Share campaign={campaign} />
      </div>
      {whole.length ? (
        <section class="panel" aria-label="Energies">
          <Energies members={whole} file={file} />
        </section>
      ) : null}
      <Members members={whole} />
    </>
  );
}

function Head({ campaign, file }: { campaign: Campaign; file: string }) {
  const base = `campaigns/${encodeURIComponent(campaign.id)}`;
  return (
    <div class="run-head">
      <div class="title">
        <Heading>{campaign.name || "Campaign"}</Heading>
        <div class="under">
          <span>{campaign.status === "active" ? "Under way" : "Every run has ended"}</span>
          <span>{count(campaign.size)} runs</span>
          <span class="muted num">{moment(campaign.created_at)}</span>
          {campaign.tags.map((tag) => (
            <span class="tag" key={tag}>
              {tag}
            </span>
          ))}
        </div>
      </div>
      <div class="actions">
        {campaign.status === "active" ? (
          <button type="button" class="button" onClick={() => void attempt(() => post(`${base}/cancel`))}>
            Cancel
          </button>
        ) : null}
        <a class="button" href={`/?campaign=${encodeURIComponent(campaign.id)}`}>
          Show as runs
        </a>
        <button type="button" class="button" onClick={() => void attempt(async () => save(`${file}.csv`, new Blob([await bytes(`${API}/${base}/summary.csv`)], { type: "text/csv" })))}>
          CSV
        </button>
      </div>
    </div>
  );
}

type Drawn = "energy_hartree" | "wall_s";
const distinct = (values: string[]): string[] => [...new Set(values)];
const COLOURS = ["plot-1", "plot-2", "plot-3", "plot-4", "plot-5", "plot-6"];

/** Only energies of one molecule can be laid side by side: a line for each method, along the basis sets. */
function Energies({ members, file }: { members: Member[]; file: string }) {
  const molecules = distinct(members.map((member) => member.molecule));
  const isScreening = molecules.length === members.length && members.length > 1;
  const [chosen, setChosen] = useState<string | null>(null);
  const [drawn, setDrawn] = useState<Drawn>("energy_hartree");
  const molecule = chosen !== null && molecules.includes(chosen) ? chosen : molecules[0]!;
  const { rows, names, traces, at } = useMemo(() => {
    const rows = isScreening ? members : members.filter((member) => member.molecule === molecule);
    const bases = distinct(rows.map((member) => member.basis));
    const methods = distinct(rows.map((member) => member.method));
    const isGrid = bases.length > 1 && rows.length <= bases.length * methods.length;
    const names = isGrid ? bases : isScreening ? rows.map((member) => lowered(member.molecule)) : rows.map((member) => String(member.index));
    const place = (member: Member, row: number) => (isGrid ? bases.indexOf(member.basis) : row);
    const at = rows.map(place);
    const traces = methods.map((method, number): Trace => {
      const values: (number | null)[] = names.map(() => null);
      rows.forEach((member, row) => {
        if (member.method === method && member.status === "completed") values[at[row]!] = member[drawn];
      });
      return { name: known(method), colour: COLOURS[number % COLOURS.length]!, values, points: true, dash: number >= COLOURS.length };
    });
    return { rows, names, traces, at };
  }, [members, molecule, drawn, isScreening]);
  const x = useMemo(() => names.map((_, index) => index), [names.length]);
  const ids = rows.slice(0, COMPARED).map((member) => member.experiment_id);
  return (
    <Plot
      label={`${drawn === "wall_s" ? "Times" : "Energies"} of ${isScreening ? "all molecules" : molecule}, ${rows.length} runs`}
      file={`${file}-${drawn === "wall_s" ? "times" : "energies"}`}
      x={x}
      xNames={names}
      xLabel={names.length && rows.length !== names.length ? "Basis set" : isScreening ? "Molecule" : "Run"}
      yLabel={drawn === "wall_s" ? "Time / s" : "Energy / Eh"}
      traces={traces}
      height={300}
      empty="Nothing has completed yet"
      readout={(index) =>
        `${names[index] ?? ""}: ${rows
          .filter((_, row) => at[row] === index)
          .map((member) => `${known(member.method)} ${drawn === "wall_s" ? duration(member.wall_s) : `${energy(member.energy_hartree)} Eh`}`)
          .join(", ")}`
      }
      table={{ columns: ["molecule", "method", "basis", "energy / Eh", "time / s"], rows: () => rows.map((member) => [member.molecule, member.method, member.basis, member.energy_hartree, member.wall_s]) }}
      tools={
        <>
          {molecules.length > 1 && !isScreening ? (
            <select class="compact" aria-label="Molecule" value={molecule} onChange={(event) => setChosen(event.currentTarget.value)}>
              {molecules.map((name) => (
                <option key={name} value={name}>
                  {lowered(name)}
                </option>
              ))}
            </select>
          ) : null}
          <Segments<Drawn>
            label="What is drawn"
            value={drawn}
            options={[
              ["energy_hartree", "Energy"],
              ["wall_s", "Time"],
            ]}
            pick={setDrawn}
          />
          {ids.length > 1 ? (
            <a class="button quiet small" href={`/compare?ids=${ids.join(",")}`}>
              Compare {ids.length < rows.length ? `the first ${ids.length}` : "these"}
            </a>
          ) : null}
        </>
      }
    />
  );
}

function Members({ members }: { members: Member[] }) {
  const height = useNarrow() ? 66 : 42;
  const { box, view } = useWindowRows(members.length, height);
  const table = useRef<HTMLDivElement>(null);
  return (
    <div class="rows members" role="table" aria-label="Runs of this campaign" aria-rowcount={members.length + 1} ref={table}>
      <div role="rowgroup">
        <div class="row header" role="row">
          <span role="columnheader" class="right">
            #
          </span>
          <span role="columnheader">State</span>
          <span role="columnheader">Molecule</span>
          <span role="columnheader">Method</span>
          <span role="columnheader" class="right">
            Energy<span class="unit">Eh</span>
          </span>
          <span role="columnheader" class="right c-time">
            Time
          </span>
        </div>
      </div>
      <div class="window" role="rowgroup" ref={box} style={{ height: `${members.length * height}px` }}>
        {members.slice(view.first, view.last).map((member, row) => (
          <div class="row" role="row" key={member.experiment_id} aria-rowindex={view.first + row + 2} style={{ top: `${(view.first + row) * height}px` }}>
            <span role="cell" class="num right muted pick">
              {member.index}
            </span>
            <span role="cell" class="c-status">
              <Status status={member.status} detail={member.status === "running" ? `${fixed(member.percent, 0)}%` : (member.error_code ?? undefined)} />
            </span>
            <span role="cell" class="c-name">
              <a class="name" href={`/runs/${member.experiment_id}`}>
                {lowered(member.molecule)}
              </a>
            </span>
            <span role="cell" class="c-method method">
              {known(member.method)} / {member.basis}
              {member.task === "energy" ? "" : ` · ${known(member.task)}`}
            </span>
            <span role="cell" class={`num right c-energy${member.status === "completed" ? "" : " muted"}`}>
              {energy(member.energy_hartree)}
            </span>
            <span role="cell" class="num right c-time">
              {duration(member.wall_s)}
            </span>
          </div>
        ))}
      </div>
    </div>
  );
}
