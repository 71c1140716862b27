// All campaigns, the newest first.

import { useEffect, useState } from "preact/hooks";
import { get } from "../api";
import { watch } from "../live";
import type { Campaign, StatusName } from "../types";
import { count, moment } from "../units";
import { Heading, useFetched, useTitle, Waiting } from "../ui/parts";

const ORDER: StatusName[] = ["completed", "running", "queued", "failed", "cancelled"];
const EVERY_MS = 1_000;

/** "12 completed, 3 queued" */
export const countsText = (counts: Campaign["counts"]): string => ORDER.filter((status) => counts[status]).map((status) => `${count(counts[status])} ${status}`).join(", ");

export function Campaigns(_: { id: string }) {
  useTitle("Campaigns");
  const [round, setRound] = useState(0);
  const [cursors, setCursors] = useState<string[]>([]);
  const cursor = cursors[cursors.length - 1];
  const page = useFetched((signal) => get<{ items: Campaign[]; next_cursor: string | null }>(`campaigns?limit=50${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`, signal), [round, cursor]);
  const [shown, setShown] = useState(page.value);
  useEffect(() => {
    if (page.value) setShown(page.value);
  }, [page.value]);
  useEffect(() => {
    let timer = 0;
    const soon = () => (timer ||= window.setTimeout(() => ((timer = 0), setRound((before) => before + 1)), EVERY_MS));
    const stop = watch(soon, soon);
    return () => (stop(), window.clearTimeout(timer));
  }, []);
  if (!shown) return (
    <>
      <Heading>Campaigns</Heading>
      <Waiting what="campaigns" error={page.error} />
    </>
  );
  return (
    <>
      <div class="head">
        <Heading>Campaigns</Heading>
      </div>
      {shown.items.length ? <Table items={shown.items} /> : <Empty />}
      {cursors.length || shown.next_cursor ? (
        <div class="actions" style={{ marginTop: "1rem" }}>
          <button type="button" class="button" disabled={!cursors.length} onClick={() => setCursors(cursors.slice(0, -1))}>
            Newer
          </button>
          <button type="button" class="button" disabled={!shown.next_cursor} onClick={() => setCursors([...cursors, shown.next_cursor!])}>
            Older
          </button>
        </div>
      ) : null}
    </>
  );
}

function Empty() {
  return (
    <div class="empty">
      <h2>No campaigns yet</h2>
      <p>
        A campaign is up to a thousand runs posted as one: molecules × methods × bases, or a list of changes to a template. Post one to <code>/api/v1/campaigns</code>, from <a href="/docs">the calls</a> or from Python.
      </p>
    </div>
  );
}

function Table({ items }: { items: Campaign[] }) {
  return (
    <div class="scroll-x" tabIndex={0} role="region" aria-label="Campaigns">
      <table class="stacked">
        <thead>
          <tr>
            <th scope="col">Campaign</th>
            <th scope="col">Progress</th>
            <th scope="col">Runs</th>
            <th scope="col" class="num">
              Posted
            </th>
          </tr>
        </thead>
        <tbody>
          {items.map((item) => (
            <tr key={item.id}>
              <th scope="row">
                <a href={`/campaigns/${item.id}`}>{item.name || item.id}</a>{" "}
                {item.tags.slice(0, 3).map((tag) => (
                  <span class="tag" key={tag}>
                    {tag}
                  </span>
                ))}
              </th>
              <td>
                <Share campaign={item} />
              </td>
              <td class="muted">{countsText(item.counts)}</td>
              <td class="num muted">{moment(item.created_at)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** How much is done, as a bar and as a number. */
export function Share({ campaign }: { campaign: Campaign }) {
  const percent = Math.floor(campaign.percent);
  return (
    <span class="share">
      <span class="progress" role="progressbar" aria-label="Done" aria-valuenow={percent} aria-valuemin={0} aria-valuemax={100}>
        <div style={{ width: `${percent}%` }} />
      </span>
      <span class="num">{percent} %</span>
    </span>
  );
}
