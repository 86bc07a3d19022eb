/** @jsxImportSource preact */
/** The transactional store: every replicated group with its primary and how far each replica is, commits, and why others were refused. */
import type { Detail } from "../../messages.ts";
import { compact, whole } from "../format.ts";
import { details, rows } from "../live.ts";
import { numberAt, numbersAt, type Own, textAt } from "../own.ts";
import { FigureCharts, shortName } from "../parts/figure-charts.tsx";
import { Cell, Condition, InstanceLink, NumberCell, Section, Table } from "../parts/small.tsx";

interface Group {
  name: string;
  members: Detail[];
  /** Entries that the furthest replica has committed. */
  furthest: number;
  primary: string | undefined;
  view: number;
  /** What its primary did per second, in its unit: `12 commits`. */
  rate: string | undefined;
}

function groupsOf(all: readonly Detail[]): Group[] {
  const replicas = all.filter(({ role }) => role === "tss" || role === "shard" || role === "store");
  const byName = Map.groupBy(
    replicas,
    ({ instance, own }) => textAt(own, "group") ?? snapshotOf(instance)?.group ?? instance,
  );
  return [...byName].map(([name, members]) => {
    const primary = members.find(({ own }) => numberAt(own, "isPrimary") === 1)?.instance;
    const work = primary === undefined ? undefined : snapshotOf(primary)?.throughput;
    return {
      name,
      members,
      primary,
      furthest: Math.max(0, ...members.map(({ own }) => numberAt(own, "commit") ?? 0)),
      view: Math.max(0, ...members.map(({ own }) => numberAt(own, "view") ?? 0)),
      rate: work && `${compact(work.perSecond)} ${work.unit}/s`,
    };
  });
}

function snapshotOf(instance: string) {
  return rows.value.find(({ snapshot }) => snapshot.target === instance)?.snapshot;
}

function GroupCard({ name, members, furthest, primary, view, rate }: Group) {
  return (
    <div class="section">
      <div class="group-head">
        <h3>{name}</h3>
        {primary === undefined ? (
          <span class="badge bad">no primary</span>
        ) : (
          <span class="badge leader">{shortName(primary)} leads</span>
        )}
        <span class="muted small">
          {[`view ${view}`, `${whole(furthest)} entries committed`, rate].filter(Boolean).join(", ")}
        </span>
      </div>
      <Table
        caption={`Replicas of ${name}`}
        columns={[
          ["Replica"],
          ["State"],
          ["Part"],
          ["Committed", "number"],
          ["Behind", "number"],
          ["Peers", "number"],
          ["Sessions", "number"],
        ]}
      >
        {members.map(({ instance, own }) => (
          <Replica key={instance} instance={instance} own={own} furthest={furthest} />
        ))}
      </Table>
    </div>
  );
}

function Replica({ instance, own, furthest }: Pick<Detail, "instance" | "own"> & { furthest: number }) {
  const snapshot = snapshotOf(instance);
  const commit = numberAt(own, "commit");
  const behind = commit === undefined ? undefined : furthest - commit;
  return (
    <tr>
      <th scope="row" class="name">
        <InstanceLink name={instance} />
      </th>
      <td>{snapshot !== undefined && <Condition snapshot={snapshot} />}</td>
      <Cell label="Part">
        {numberAt(own, "isPrimary") === 1 ? (
          <span class="badge leader">primary</span>
        ) : (
          (textAt(own, "phase") ?? "").replace(/^normal$/, "replica")
        )}
      </Cell>
      <NumberCell label="Committed">{commit === undefined ? undefined : whole(commit)}</NumberCell>
      <NumberCell label="Behind">
        {behind === undefined ? undefined : snapshot?.lag === undefined ? (
          whole(behind)
        ) : (
          <span class="badge bad">{whole(behind)}</span>
        )}
      </NumberCell>
      <NumberCell label="Peers">{numberAt(own, "peersConnected")}</NumberCell>
      <NumberCell label="Sessions">{numberAt(own, "sessions")}</NumberCell>
    </tr>
  );
}

interface Refusals {
  reason: string;
  count: number;
}

/** By reason, over all instances, the most frequent first. */
function refusalsOf(all: readonly Detail[], path: string): Refusals[] {
  const sums = new Map<string, number>();
  for (const { own } of all)
    for (const [reason, count] of numbersAt(own, path)) sums.set(reason, (sums.get(reason) ?? 0) + count);
  return [...sums].map(([reason, count]) => ({ reason, count })).sort((a, b) => b.count - a.count);
}

function Refused({ title, of }: { title: string; of: readonly Refusals[] }) {
  const total = of.reduce((sum, { count }) => sum + count, 0);
  return (
    <div class="card">
      <h3>{title}</h3>
      {total === 0 && <p class="muted small">None so far.</p>}
      <ul class="bars">
        {of
          .filter(({ count }) => count > 0)
          .map(({ reason, count }) => (
            <li key={reason}>
              <span>{reason}</span>
              <span class="track">
                <span class="fill" style={{ width: `${(100 * count) / total}%` }} />
              </span>
              <span class="number">{compact(count)}</span>
            </li>
          ))}
      </ul>
    </div>
  );
}

function clientsOf(own: Own): number | undefined {
  const [webSockets, framed] = [numberAt(own, "clients.webSockets"), numberAt(own, "clients.framed")];
  return webSockets === undefined && framed === undefined ? undefined : (webSockets ?? 0) + (framed ?? 0);
}

function Frontends({ of }: { of: readonly Detail[] }) {
  return (
    <Table
      caption="Frontends"
      columns={[
        ["Frontend"],
        ["State"],
        ["Requests", "number"],
        ["Committed", "number"],
        ["Settled", "number"],
        ["Subscriptions", "number"],
        ["Keys watched", "number"],
        ["Clients", "number"],
      ]}
    >
      {of.map(({ instance, own }) => {
        const snapshot = snapshotOf(instance);
        return (
          <tr key={instance}>
            <th scope="row" class="name">
              <InstanceLink name={instance} />
            </th>
            <td>{snapshot !== undefined && <Condition snapshot={snapshot} />}</td>
            <NumberCell label="Requests">{whole(numberAt(own, "frontend.requests") ?? 0)}</NumberCell>
            <NumberCell label="Committed">{whole(numberAt(own, "frontend.committed") ?? 0)}</NumberCell>
            <NumberCell label="Settled">{numberAt(own, "frontend.settled")}</NumberCell>
            <NumberCell label="Subscriptions">{numberAt(own, "watches.watches")}</NumberCell>
            <NumberCell label="Keys watched">{numberAt(own, "watches.watchedKeys")}</NumberCell>
            <NumberCell label="Clients">{clientsOf(own)}</NumberCell>
          </tr>
        );
      })}
    </Table>
  );
}

export function StorePage() {
  const all = details.value;
  // A store is a shard and a frontend too.
  const ofRole = (wanted: string) => all.filter(({ role }) => role === wanted || role === "store");
  const namesOf = (role: string) => ofRole(role).map(({ instance }) => instance);
  const groups = groupsOf(all);
  const primaries = groups.flatMap(({ primary }) => primary ?? []);
  const frontends = ofRole("frontend");
  return (
    <>
      {groups.length > 0 && (
        <Section title="Groups" note="each survives the loss of less than half of its replicas">
          {groups.map((group) => (
            <GroupCard key={group.name} {...group} />
          ))}
        </Section>
      )}
      {frontends.length > 0 && (
        <Section title="Frontends">
          <Frontends of={frontends} />
        </Section>
      )}
      <Section title="Refused transactions" note="since each instance started">
        <div class="grid">
          <Refused title="By shards, at the vote" of={refusalsOf(all, "shard.aborts")} />
          <Refused title="By frontends" of={refusalsOf(all, "frontend.refused")} />
        </div>
      </Section>
      <Section title="Over time">
        <FigureCharts
          graphs={[
            { figure: "frontend.requests", instances: namesOf("frontend") },
            { figure: "frontend.committed", instances: namesOf("frontend") },
            {
              figure: "shard.committed",
              title: "Committed by primaries",
              instances: primaries.filter((name) => namesOf("shard").includes(name)),
            },
            {
              figure: "tss.timestamps",
              instances: all.filter(({ role }) => role === "tss").map(({ instance }) => instance),
            },
            { figure: "frontend.watches", instances: namesOf("frontend") },
            { figure: "frontend.runs", instances: namesOf("frontend") },
            { figure: "shard.keys", instances: namesOf("shard") },
            { figure: "shard.prepared", instances: namesOf("shard") },
          ]}
        />
      </Section>
    </>
  );
}
