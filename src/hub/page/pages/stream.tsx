/** @jsxImportSource preact */
/** Stream applications: latency and throughput of pipelines, workers and computations over the last five minutes, and checkpoints. */
import { useState } from "preact/hooks";
import { latencyGroups } from "../../latency-groups.ts";
import type { StreamApplication, StreamRow } from "../../messages.ts";
import { compact, seconds } from "../format.ts";
import { details, latest } from "../live.ts";
import { numberAt, numbersAt } from "../own.ts";
import { FigureCharts } from "../parts/figure-charts.tsx";
import { Facts, InstanceLink, NONE, NumberCell, Section, Table } from "../parts/small.tsx";

const tables = [
  ["pipelines", "Pipelines", "from source to sink"],
  ["workers", "Workers", "from the entry to the exit of a worker"],
  ["computations", "Computations", "each step on its own"],
  ["sources", "Sources", "messages that came in"],
] as const;

const percentileNames = ["50 %", "95 %", "99 %", "99.9 %", "99.99 %"];
const latency = (ns: number | null | undefined) => (ns == null ? undefined : `≤ ${seconds(ns / 1e9)}`);

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

function Rows({ title, note, rows }: { title: string; note: string; rows: readonly StreamRow[] }) {
  const [chosen, setChosen] = useState<string | undefined>(undefined);
  const row = rows.find(({ name }) => name === chosen);
  if (rows.length === 0) return null;
  return (
    <Section title={title} note={note}>
      <Table
        caption={title}
        columns={[
          ["Name"],
          ...percentileNames.map((name) => [name, "number"] as const),
          ["min/s", "number"],
          ["med/s", "number"],
          ["max/s", "number"],
        ]}
      >
        {rows.map(({ name, percentilesNs, throughput }) => (
          <tr key={name}>
            <th scope="row" class="name">
              <button
                type="button"
                aria-expanded={name === chosen}
                onClick={() => setChosen(name === chosen ? undefined : name)}
              >
                {name}
              </button>
            </th>
            {percentileNames.map((percentile, index) => (
              <NumberCell key={percentile} label={percentile}>
                {latency(percentilesNs[index])}
              </NumberCell>
            ))}
            <NumberCell label="min/s">{compact(throughput.min)}</NumberCell>
            <NumberCell label="med/s">{compact(throughput.median)}</NumberCell>
            <NumberCell label="max/s">{compact(throughput.max)}</NumberCell>
          </tr>
        ))}
      </Table>
      {row !== undefined && (
        <div class="section">
          <Bins row={row} />
        </div>
      )}
    </Section>
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
      {tables.map(([key, title, note]) => (
        <Rows key={key} title={title} note={note} rows={found[key]} />
      ))}
    </>
  );
}

/** What workers say of checkpoints and keys; the figures that a version does not have are left out. */
function Workers() {
  const workers = details.value.filter(({ role }) => role === "worker");
  if (workers.length === 0) return null;
  return (
    <Section title="Checkpoints and state">
      <div class="grid">
        {workers.map(({ instance, own }) => {
          const keys = numbersAt(own, "keys");
          return (
            <div key={instance} class="card">
              <h3>
                <InstanceLink name={instance} />
              </h3>
              <Facts
                of={[
                  ["Checkpoint", numberAt(own, "checkpoint.id") ?? NONE],
                  ["Age", age(numberAt(own, "checkpoint.ageSeconds"))],
                  ["Size", numberAt(own, "checkpoint.bytes") ?? NONE],
                  [
                    "Keys",
                    numberAt(own, "keys") ??
                      (keys.length === 0 ? NONE : keys.map(([step, count]) => `${step} ${count}`).join(", ")),
                  ],
                ]}
              />
            </div>
          );
        })}
      </div>
      <div class="section">
        <FigureCharts
          graphs={[{ figure: "throughput", instances: workers.map(({ instance }) => instance) }]}
        />
      </div>
    </Section>
  );
}

const age = (value: number | undefined) => (value === undefined ? NONE : seconds(value));

export function StreamPage() {
  const applications = latest.value?.stream ?? [];
  return (
    <>
      {applications.length === 0 && (
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
