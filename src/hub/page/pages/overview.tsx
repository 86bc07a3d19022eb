/** @jsxImportSource preact */
/** The overview: what needs somebody, then every instance. */
import { useState } from "preact/hooks";
import type { Concern, ShownInstance } from "../../messages.ts";
import { bytes, compact, duration } from "../format.ts";
import { concerns, hub, rows, type Row } from "../live.ts";
import { FigureCharts } from "../parts/figure-charts.tsx";
import {
  Cell,
  Condition,
  EmptyRow,
  InstanceLink,
  NONE,
  NumberCell,
  Section,
  Table,
} from "../parts/small.tsx";
import { linkTo } from "../route.ts";
import { Sparkline } from "../parts/sparkline.tsx";

/** `2 of 3 instances ready: local.dht1 is unreachable` */
export function summaryOf(all: readonly Row[]): string {
  const bad = all.filter(({ snapshot }) => snapshot.condition !== "ready");
  const named = bad.slice(0, 3).map(({ snapshot }) => `${snapshot.name} is ${snapshot.condition}`);
  const more = bad.length > 3 ? `, and ${bad.length - 3} more` : "";
  const count = `${all.length - bad.length} of ${all.length} instances ready`;
  return bad.length === 0 ? count : `${count}: ${named.join(", ")}${more}`;
}

export function ConcernList({ of }: { of: readonly Concern[] }) {
  if (of.length === 0)
    return (
      <ul class="concerns calm" aria-label="What needs attention">
        <li>Nothing needs attention.</li>
      </ul>
    );
  return (
    <ul class="concerns" aria-label="What needs attention">
      {of.map(({ severity, subject, text, instance }) => (
        <li key={`${subject} ${text}`} class={severity}>
          <span>
            {instance === undefined ? <strong>{subject}</strong> : <InstanceLink name={instance} />} {text}
          </span>
        </li>
      ))}
    </ul>
  );
}

function Activity({ snapshot, history }: Row) {
  const { throughput, cpuPercent } = snapshot;
  const unit = throughput === undefined ? "% CPU" : `${throughput.unit}/s`;
  const value = throughput?.perSecond ?? cpuPercent;
  return (
    <div class="activity">
      <Sparkline history={history} unit={unit} />
      <span class="figure">{value === undefined ? NONE : `${compact(value)} ${unit}`}</span>
    </div>
  );
}

function Version({ isOdd, version, commit }: ShownInstance) {
  if (version === undefined) return <>{NONE}</>;
  const build = (
    <div>
      {version}
      <div class="detail">{(commit ?? "").slice(0, 7)}</div>
    </div>
  );
  return isOdd ? (
    <div class="bad-text" title="Differs from the others">
      <strong>{build}</strong>
    </div>
  ) : (
    build
  );
}

/** Without the prefix that all names of this cluster begin with. */
function ownName(name: string): string {
  const prefix = hub.value?.prefix;
  return prefix !== undefined && name.startsWith(`${prefix}.`) ? name.slice(prefix.length + 1) : name;
}

/** Starts of the last day that the hub saw. */
function Restarts({ count }: { count: number }) {
  const text = `${count} restart${count === 1 ? "" : "s"}`;
  if (count === 0) return <div class="detail">{text}</div>;
  return (
    <div>
      <span class={`badge ${count >= 3 ? "bad" : "warn"}`}>{text}</span>
    </div>
  );
}

function InstanceRow({ snapshot, history }: Row) {
  const { condition, reasons, target, name, role, host, keyFigure, lag, restarts } = snapshot;
  const { rssBytes, cpuPercent, uptimeSeconds } = snapshot;
  const place = [role ?? target, host];
  return (
    <tr>
      <th scope="row">
        <span class="name">
          <a href={linkTo("instance", target)}>{ownName(name)}</a>
        </span>
        <div class="detail">{place.filter((word) => word !== undefined).join(" on ")}</div>
      </th>
      <td>
        <Condition snapshot={snapshot} />
        {reasons.length > 0 && (
          <div class={`reasons ${condition.replace(" ", "-")}`}>{reasons.join("; ")}</div>
        )}
      </td>
      <Cell label="Holds">
        {keyFigure}
        {lag !== undefined && (
          <div>
            <span class="badge bad">{lag}</span>
          </div>
        )}
      </Cell>
      <td class={rssBytes === undefined ? "none" : ""}>
        <Activity snapshot={snapshot} history={history} />
      </td>
      <NumberCell label="CPU">
        {cpuPercent === undefined ? undefined : `${cpuPercent.toFixed(1)} %`}
      </NumberCell>
      <NumberCell label="Memory">{rssBytes === undefined ? undefined : bytes(rssBytes)}</NumberCell>
      <NumberCell label="Up for">
        {uptimeSeconds !== undefined && (
          <div>
            {duration(uptimeSeconds)}
            <Restarts count={restarts} />
          </div>
        )}
      </NumberCell>
      <NumberCell label="Version">
        <Version {...snapshot} />
      </NumberCell>
    </tr>
  );
}

/** Clusters of more instances get a box to find some by name, role, host or state. */
const FILTERED_FROM = 12;

function matches({ snapshot }: Row, words: string): boolean {
  const { name, role = "", host = "", condition, version = "" } = snapshot;
  const text = [name, role, host, condition, version].join(" ").toLowerCase();
  return words
    .toLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word));
}

export function OverviewPage() {
  const all = rows.value;
  const [words, setWords] = useState("");
  const shown = all.filter((row) => matches(row, words));
  if (all.length === 0)
    return (
      <p class="empty">
        No instances are known: put the hub's file beside those of a cluster as prefix.hub0.json, or name a
        prefix in its key `cluster`, or data directories in `instances`.
      </p>
    );
  const names = shown
    .filter(({ snapshot }) => snapshot.role !== "hub")
    .map(({ snapshot }) => snapshot.target);
  return (
    <>
      <ConcernList of={concerns.value} />
      {all.length > FILTERED_FROM && (
        <div class="search">
          <label class="grows">
            <span class="unseen">Find instances</span>
            <input
              type="search"
              placeholder="Find by name, role, host or state"
              value={words}
              onInput={({ currentTarget }) => setWords(currentTarget.value)}
            />
          </label>
        </div>
      )}
      <Table
        caption="Instances of this cluster, with their state and figures"
        columns={[
          ["Instance"],
          ["State"],
          ["Holds"],
          ["Activity"],
          ["CPU", "number"],
          ["Memory", "number"],
          ["Up for", "number"],
          ["Version", "number"],
        ]}
      >
        {shown.map((row) => (
          <InstanceRow key={row.snapshot.target} {...row} />
        ))}
        {shown.length === 0 && <EmptyRow columns={8} text="No instance matches." />}
      </Table>
      <Section title="Over time">
        <FigureCharts
          isWide
          graphs={[
            { figure: "throughput", title: "Throughput, each in its unit", instances: names },
            { figure: "cpu.user", instances: names },
            { figure: "rss", instances: names },
            { figure: "lag", instances: names },
          ]}
        />
      </Section>
      <p class="section muted small">
        Asked every {(hub.value?.scrapePeriodMs ?? 1000) / 1000} s. As JSON:{" "}
        <a href="/api/instances">/api/instances</a>. For Prometheus: <a href="/metrics">/metrics</a>.
      </p>
    </>
  );
}
