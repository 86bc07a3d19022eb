/** @jsxImportSource preact */
/** Private presence: which epoch is served where, when the next one begins, how many questions come. Nothing of it tells of a user. */
import type { Detail } from "../../messages.ts";
import { bytes, duration, whole } from "../format.ts";
import { details, latest, rows } from "../live.ts";
import { numberAt, textAt } from "../own.ts";
import { FigureCharts } from "../parts/figure-charts.tsx";
import { Cell, Condition, Facts, InstanceLink, NumberCell, Section, Table } from "../parts/small.tsx";

function epochsText({ own }: Detail): string {
  const { epochsServed } = own;
  const served = Array.isArray(epochsServed) ? epochsServed.filter((each) => typeof each === "number") : [];
  return served.length === 0 ? "none" : served.join(", ");
}

function Server({ detail, newest }: { detail: Detail; newest: number }) {
  const { instance, own } = detail;
  const snapshot = rows.value.find((row) => row.snapshot.target === instance)?.snapshot;
  const epoch = numberAt(own, "epoch");
  const behind = epoch === undefined ? undefined : newest - epoch;
  const trouble = textAt(own, "upstream.trouble");
  return (
    <tr>
      <th scope="row" class="name">
        <InstanceLink name={instance} />
      </th>
      <td>
        {snapshot !== undefined && <Condition snapshot={snapshot} />}
        {trouble !== undefined && <div class="reasons warn-text">{trouble}</div>}
      </td>
      <Cell label="Serves">{epochsText(detail)}</Cell>
      <NumberCell label="Behind">
        {behind === undefined ? undefined : behind > 0 ? <span class="badge bad">{behind} epochs</span> : "0"}
      </NumberCell>
      <NumberCell label="Database">{bytes(numberAt(own, "databaseBytes") ?? 0)}</NumberCell>
      <NumberCell label="Lookups">{whole(numberAt(own, "lookups") ?? 0)}</NumberCell>
      <NumberCell label="Waiting">{numberAt(own, "scans.waiting")}</NumberCell>
      <NumberCell label="Refused">{whole(numberAt(own, "malformed") ?? 0)}</NumberCell>
    </tr>
  );
}

export function PresencePage() {
  const all = details.value;
  const registrar = all.find(({ role }) => role === "regserver");
  const newest = Math.max(0, ...all.map(({ own }) => numberAt(own, "epoch") ?? 0));
  const epochSeconds = numberAt(registrar?.own, "epochSeconds");
  const nowSeconds = (latest.value?.hub.nowMs ?? 0) / 1000;
  const left = epochSeconds === undefined ? undefined : (newest + 1) * epochSeconds - nowSeconds;
  const names = all.map(({ instance }) => instance);
  return (
    <>
      <div class="card">
        <Facts
          of={[
            ["Epoch", newest],
            ["Next one begins in", left === undefined || left < 0 ? undefined : duration(left)],
            ["An epoch lasts", epochSeconds === undefined ? undefined : duration(epochSeconds)],
            [
              "Registered for the next",
              registrar && bytes(numberAt(registrar.own, "registrations.pendingBytes") ?? 0),
            ],
            ["Databases built", registrar && whole(numberAt(registrar.own, "registrations.builds") ?? 0)],
          ]}
        />
      </div>
      <Section title="Servers">
        <Table
          caption="Presence servers and the epochs that they serve"
          columns={[
            ["Server"],
            ["State"],
            ["Serves"],
            ["Behind", "number"],
            ["Database", "number"],
            ["Lookups", "number"],
            ["Waiting", "number"],
            ["Refused", "number"],
          ]}
        >
          {all.map((detail) => (
            <Server key={detail.instance} detail={detail} newest={newest} />
          ))}
        </Table>
      </Section>
      <Section title="Over time">
        <FigureCharts
          graphs={["presence.requests", "presence.lookups", "presence.queries", "presence.waiting"]
            .map((figure) => ({ figure, instances: names }))
            .concat([
              {
                figure: "presence.registrations",
                instances: registrar === undefined ? [] : [registrar.instance],
              },
            ])}
        />
      </Section>
    </>
  );
}
