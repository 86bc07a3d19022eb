/** @jsxImportSource preact */
/** The page: a table of instances on a wide screen, cards on a narrow one. */
import { render } from "preact";
import type { InstanceSnapshot } from "../snapshot.ts";
import { bytes, compact, duration } from "./format.ts";
import { connect, hub, isConnected, rows, type Row } from "./model.ts";
import { Sparkline } from "./sparkline.tsx";

const NONE = "\u2013";

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

function Ports({ ports }: Pick<InstanceSnapshot, "ports">) {
  const shown = Object.entries(ports).map(([key, port]) => `${key} ${port}`);
  return <div class="detail">{shown.length === 0 ? "" : <code>{shown.join(", ")}</code>}</div>;
}

function Instance({ snapshot, history }: Row) {
  const { condition, reasons, name, role, target, keyFigure, version } = snapshot;
  const kind = condition.replace(" ", "-");
  const state = condition === "not ready" && snapshot.state !== "ready" ? snapshot.state : condition;
  return (
    <tr>
      <th scope="row">
        <span class="name">{name}</span>
        <div class="detail">{role ?? target}</div>
      </th>
      <td>
        <span class={`condition ${kind}`}>{state}</span>
        {reasons.length > 0 && (
          <ul class={`reasons ${kind}`}>
            {reasons.map((reason) => (
              <li key={reason}>{reason}</li>
            ))}
          </ul>
        )}
      </td>
      <td class={`holds ${keyFigure === "" ? "none" : ""}`}>
        {keyFigure}
        <Ports ports={snapshot.ports} />
      </td>
      <td class={snapshot.rssBytes === undefined ? "none" : ""}>
        <Activity snapshot={snapshot} history={history} />
      </td>
      <Figure label="CPU" value={snapshot.cpuPercent} format={(value) => `${value.toFixed(1)} %`} />
      <Figure label="Memory" value={snapshot.rssBytes} format={bytes} />
      <Figure label="Up for" value={snapshot.uptimeSeconds} format={duration} />
      <td class={`number labelled ${version === undefined ? "none" : ""}`} data-label="Version">
        {version ?? NONE}
      </td>
    </tr>
  );
}

function Figure({
  label,
  value,
  format,
}: {
  label: string;
  value: number | undefined;
  format(value: number): string;
}) {
  return (
    <td class={`number ${value === undefined ? "none" : ""}`} data-label={label}>
      {value === undefined ? NONE : format(value)}
    </td>
  );
}

/** `2 of 3 instances ready: local.dht1 is unreachable` */
function summaryOf(all: readonly Row[]): string {
  const bad = all.filter(({ snapshot }) => snapshot.condition !== "ready");
  const named = bad.slice(0, 3).map(({ snapshot }) => `${snapshot.name} is ${snapshot.condition}`);
  const more = bad.length > 3 ? `, and ${bad.length - 3} more` : "";
  const count = `${all.length - bad.length} of ${all.length} instances ready`;
  return bad.length === 0 ? count : `${count}: ${named.join(", ")}${more}`;
}

function Page() {
  const about = hub.value;
  if (about === undefined) {
    return (
      <p class="summary">
        {isConnected.value ? "Connecting to the hub." : "The hub does not answer. Trying again."}
      </p>
    );
  }
  const all = rows.value;
  const summary = summaryOf(all);
  document.title = `${summary} ${NONE} ${about.name}`;
  return (
    <>
      <header>
        <h1>{about.name}</h1>
        <p class="summary" role="status">
          {summary}
        </p>
      </header>
      {!isConnected.value && (
        <p class="notice" role="alert">
          The hub does not answer: the figures below are the last ones it sent. Trying again.
        </p>
      )}
      {all.length === 0 ? (
        <p class="empty">
          No instances are configured: name their data directories in the key `instances` of the hub's
          configuration.
        </p>
      ) : (
        <table>
          <caption>Instances of this cluster, with their state and figures</caption>
          <thead>
            <tr>
              <th scope="col">Instance</th>
              <th scope="col">State</th>
              <th scope="col">Holds</th>
              <th scope="col">Activity</th>
              <th scope="col" class="number">
                CPU
              </th>
              <th scope="col" class="number">
                Memory
              </th>
              <th scope="col" class="number">
                Up for
              </th>
              <th scope="col" class="number">
                Version
              </th>
            </tr>
          </thead>
          <tbody>
            {all.map((row) => (
              <Instance key={row.snapshot.target} {...row} />
            ))}
          </tbody>
        </table>
      )}
      <footer>
        node-x {about.version}. Asked every {about.scrapePeriodMs / 1000} s. The same as JSON:{" "}
        <a href="/api/instances">/api/instances</a>
      </footer>
    </>
  );
}

render(<Page />, document.getElementById("page") as HTMLElement);
connect();
