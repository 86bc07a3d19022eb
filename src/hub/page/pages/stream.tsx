/** @jsxImportSource preact */
/** Stream applications: latency and throughput of pipelines, workers, sources, computations and sinks over five minutes, and checkpoints. */
import { useState } from "preact/hooks";
import { latencyGroups } from "../../latency-groups.ts";
import {
  type Detail,
  type StreamApplication,
  streamFigure,
  streamInstance,
  type StreamRow,
} from "../../messages.ts";
import { bytes, compact, seconds, whole } from "../format.ts";
import { details, latest } from "../live.ts";
import { useLines, type WantedLine } from "../lines.ts";
import { numberAt, numbersAt, textAt } from "../own.ts";
import { Chart } from "../parts/chart.tsx";
import { FigureCharts } from "../parts/figure-charts.tsx";
import { Facts, InstanceLink, NONE, NumberCell, Section, Table } from "../parts/small.tsx";

const tables = [
  ["pipelines", "Pipelines", "from source to sink; in → out where they differ"],
  ["workers", "Workers", "from the entry to the exit of a worker"],
  ["sources", "Sources", "messages that came in, until what they caused was handed over"],
  ["computations", "Computations", "each step on its own"],
  [
    "sinks",
    "Sinks",
    "messages that went out, from their coming in to the worker until they were handed to the sink",
  ],
] as const;

const percentileNames = ["50 %", "95 %", "99 %", "99.9 %", "99.99 %"];
const latency = (ns: number | null | undefined) => (ns == null ? undefined : `≤ ${seconds(ns / 1e9)}`);

/** Messages per second; where not as many go out as come in, both. */
function flowText(incoming: number | undefined, outgoing: number): string {
  const [taken, given] = [compact(incoming ?? outgoing), compact(outgoing)];
  return taken === given ? given : `${taken} → ${given}`;
}

function Bins({ row }: { row: StreamRow }) {
  return (
    <div class="card">
      <h3>{row.name}: percent of messages by latency</h3>
      <ul class="bars">
        {latencyGroups.map(({ label }, index) => (
          <li key={label}>
            <span>{label}</span>
            <span class="track">
              <span class="fill" style={{ width: `${row.groups[index] ?? 0}%` }} />
            </span>
            <span class="number">{(row.groups[index] ?? 0).toFixed(1)} %</span>
          </li>
        ))}
      </ul>
    </div>
  );
}

interface RowDetailProps {
  row: StreamRow;
  parts: readonly StreamRow[];
  place: WantedLine | undefined;
}

/** A row in detail: latencies by group, throughput over time, and what it is made of. */
function RowDetail({ row, parts, place }: RowDetailProps) {
  const { name, history, untilMs } = row;
  const atMs = history.map((_, index) => untilMs - (history.length - 1 - index) * 1000);
  // The history has pipelines; of the others there are the last five minutes.
  const kept = useLines(place === undefined ? [] : [place]);
  const recent = { atMs, mean: history, max: history };
  return (
    <div class="section">
      <div class="grid wide">
        <Bins row={row} />
        <Chart
          title={`${name}: messages per second`}
          unit="count"
          isRate
          window={place === undefined ? { fromMs: untilMs - 300_000, toMs: untilMs } : kept.window}
          lines={[
            { label: name, line: place === undefined ? recent : kept.of(place.instance, place.figure) },
          ]}
        />
      </div>
      {parts.length > 0 && (
        <div class="section">
          <Choosable caption={`Parts of ${name}`} rows={parts} parts={[]} placeOf={() => undefined} />
        </div>
      )}
    </div>
  );
}

interface StreamTableProps {
  caption: string;
  rows: readonly StreamRow[];
  chosen: string | undefined;
  onChoose(name: string): void;
}

function StreamTable({ caption, rows, chosen, onChoose }: StreamTableProps) {
  return (
    <Table
      caption={caption}
      isEven
      columns={[
        ["Name"],
        ...percentileNames.map((name) => [name, "number"] as const),
        ["min/s", "number"],
        ["med/s", "number"],
        ["max/s", "number"],
      ]}
    >
      {rows.map(({ name, percentilesNs, throughput, incoming }) => (
        <tr key={name}>
          <th scope="row" class="name">
            <button
              type="button"
              class="opens"
              aria-expanded={name === chosen}
              onClick={() => onChoose(name)}
            >
              {name}
            </button>
          </th>
          {percentileNames.map((percentile, index) => (
            <NumberCell key={percentile} label={percentile}>
              {latency(percentilesNs[index])}
            </NumberCell>
          ))}
          <NumberCell label="min/s">{flowText(incoming?.min, throughput.min)}</NumberCell>
          <NumberCell label="med/s">{flowText(incoming?.median, throughput.median)}</NumberCell>
          <NumberCell label="max/s">{flowText(incoming?.max, throughput.max)}</NumberCell>
        </tr>
      ))}
    </Table>
  );
}

interface ChoosableProps {
  caption: string;
  rows: readonly StreamRow[];
  parts: readonly StreamRow[];
  /** Where the history has a row; undefined: nowhere. */
  placeOf(name: string): WantedLine | undefined;
}

/** A table, and below it the row that was chosen in detail. */
function Choosable({ caption, rows, parts, placeOf }: ChoosableProps) {
  const [chosen, setChosen] = useState<string | undefined>(undefined);
  const row = rows.find(({ name }) => name === chosen);
  return (
    <>
      <StreamTable
        caption={caption}
        rows={rows}
        chosen={chosen}
        onChoose={(name) => setChosen(name === chosen ? undefined : name)}
      />
      {row !== undefined && (
        <RowDetail
          key={row.name}
          row={row}
          parts={parts.filter(({ of }) => of?.includes(row.name))}
          place={placeOf(row.name)}
        />
      )}
    </>
  );
}

function Application({ name, workers, tables: found }: StreamApplication) {
  return (
    <>
      <div class="group-head section">
        <h2>{name}</h2>
        <span class="muted small">
          {workers.length} worker{workers.length === 1 ? "" : "s"} in the last five minutes:{" "}
          {workers.join(", ")}
        </span>
      </div>
      {tables
        .filter(([key]) => found[key].length > 0)
        .map(([key, title, note]) => (
          <Section key={key} title={title} note={note}>
            <Choosable
              caption={title}
              rows={found[key]}
              parts={found.parts}
              placeOf={(row) =>
                key === "pipelines"
                  ? { instance: streamInstance(name), figure: streamFigure(row) }
                  : undefined
              }
            />
          </Section>
        ))}
    </>
  );
}

/** What workers say of checkpoints and keys; figures that a version does not have are left out. */
function WorkerCard({ instance, own }: Detail) {
  const keys = numbersAt(own, "keys");
  const ageMs = numberAt(own, "cluster.checkpointAgeMs");
  const latency = ["p50", "p99", "p99.99"].map((name) => numberOf(own.latencyNs, name));
  return (
    <div class="card">
      <h3>
        <InstanceLink name={instance} /> <span class="badge">{textAt(own, "app")}</span>{" "}
        {ageMs !== undefined && <span class="badge leader">initializer</span>}
      </h3>
      <Facts
        of={[
          ["Records in", whole(numberAt(own, "recordsIn") ?? 0)],
          ["Records out", whole(numberAt(own, "recordsOut") ?? 0)],
          [
            "Latency p50, p99, p99.99",
            latency.map((ns) => (ns === undefined ? NONE : seconds(ns / 1e9))).join(", "),
          ],
          ["Checkpoint", numberAt(own, "checkpoint") ?? NONE],
          ["Checkpoint age", ageMs === undefined ? NONE : seconds(ageMs / 1000)],
          ["Checkpoint took", duration(numberAt(own, "cluster.checkpointDurationMs"))],
          ["Checkpoint size", sizeText(numberAt(own, "stateLog.lastCheckpointBytes"))],
          [
            "Keys",
            keys.length === 0 ? NONE : keys.map(([step, count]) => `${step} ${whole(count)}`).join(", "),
          ],
          ["Dead letters", numbersAt(own, "deadLetters").reduce((sum, [, count]) => sum + count, 0)],
        ]}
      />
    </div>
  );
}

function numberOf(value: unknown, key: string): number | undefined {
  return numbersAt(value, "").find(([name]) => name === key)?.[1];
}

const duration = (ms: number | undefined) => (ms === undefined ? NONE : seconds(ms / 1000));
const sizeText = (size: number | undefined) => (size === undefined ? NONE : bytes(size));

function Workers() {
  const namesOf = (role: string) =>
    details.value.filter((each) => each.role === role).map(({ instance }) => instance);
  const workers = details.value.filter(({ role }) => role === "worker");
  return (
    <>
      {workers.length > 0 && (
        <Section title="Checkpoints and keys" note="of each worker of this cluster">
          <div class="grid wide">
            {workers.map((each) => (
              <WorkerCard key={each.instance} {...each} />
            ))}
          </div>
        </Section>
      )}
      {details.value.length > 0 && (
        <Section title="Over time">
          <FigureCharts
            graphs={[
              { figure: "worker.in", instances: namesOf("worker") },
              { figure: "worker.out", instances: namesOf("worker") },
              { figure: "worker.checkpoint", instances: namesOf("worker") },
              { figure: "worker.state", instances: namesOf("worker") },
              { figure: "sender.settled", title: "Settled by senders", instances: namesOf("sender") },
              { figure: "replica.appended", title: "Appended to replicas", instances: namesOf("replica") },
            ]}
          />
        </Section>
      )}
    </>
  );
}

export function StreamPage() {
  const applications = latest.value?.stream ?? [];
  return (
    <>
      {applications.length === 0 && details.value.length === 0 && (
        <p class="empty">
          No application has told what it measured. Workers do with the key `metrics`, or with --metrics
          HOST:PORT.
        </p>
      )}
      {applications.map((application) => (
        <Application key={application.name} {...application} />
      ))}
      <Workers />
    </>
  );
}
