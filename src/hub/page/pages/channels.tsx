/** @jsxImportSource preact */
/** Stores of channels: the hash ring and sizes of dht nodes, how full queues are, what log stores keep, and a search in them. */
import type { Detail } from "../../messages.ts";
import { bytes, duration, moment, seconds, whole } from "../format.ts";
import { details, rows } from "../live.ts";
import { isMirror, listAt, numberAt, textAt, type Own } from "../own.ts";
import { FigureCharts, shortName } from "../parts/figure-charts.tsx";
import { HashRing, type RangeOwner } from "../parts/hash-ring.tsx";
import { Cell, EmptyRow, InstanceLink, Meter, NumberCell, Section, Table } from "../parts/small.tsx";
import { LogSearch } from "./log-search.tsx";

const of = (role: string) => details.value.filter((detail) => detail.role === role);
const namesOf = (list: readonly Detail[]) => list.map(({ instance }) => instance);

function isReady(instance: string): boolean {
  return rows.value.some(({ snapshot }) => snapshot.target === instance && snapshot.condition === "ready");
}

/** A hash as 16 hexadecimal digits, if it is one. */
function hashAt(own: Own, path: string): bigint | undefined {
  const text = textAt(own, path) ?? "";
  return /^[0-9a-f]{1,16}$/i.test(text) ? BigInt(`0x${text}`) : undefined;
}

function ownersOf(nodes: readonly Detail[]): RangeOwner[] {
  return nodes.flatMap(({ instance, own }) => {
    const [min, max] = [hashAt(own, "hashRange.min"), hashAt(own, "hashRange.max")];
    // A mirror has its node's range and answers for none of it until it is promoted.
    if (min === undefined || max === undefined || isMirror(own)) return [];
    const records = numberAt(own, "records") ?? 0;
    return [{ instance, isReady: isReady(instance), min, max, records }];
  });
}

interface ChannelSum {
  name: string;
  records: number;
  bytes: number;
  nodes: string[];
}

/** Channels over all nodes, the largest first. */
function channelsOf(nodes: readonly Detail[]): ChannelSum[] {
  const sums = new Map<string, ChannelSum>();
  for (const { instance, own } of nodes)
    for (const channel of listAt(own, "channels")) {
      const name = textAt(channel, "name") ?? "";
      const sum = sums.get(name) ?? { name, records: 0, bytes: 0, nodes: [] };
      sum.records += numberAt(channel, "records") ?? 0;
      sum.bytes += numberAt(channel, "bytes") ?? 0;
      sum.nodes.push(shortName(instance));
      sums.set(name, sum);
    }
  return [...sums.values()].sort((a, b) => b.bytes - a.bytes);
}

function Dht({ nodes }: { nodes: readonly Detail[] }) {
  const channels = channelsOf(nodes);
  const most = Math.max(1, ...channels.map((channel) => channel.bytes));
  return (
    <Section title="Key/value nodes" note={`${nodes.length} over the hash space`}>
      <div class="grid wide apart">
        <HashRing owners={ownersOf(nodes)} />
        <Table
          caption="Channels and their sizes"
          columns={[["Channel"], ["Size"], ["Records", "number"], ["On"]]}
        >
          {channels.slice(0, 50).map(({ name, records, bytes: size, nodes: on }) => (
            <tr key={name}>
              <th scope="row" class="name">
                {name}
              </th>
              <Cell label="Size">
                <Meter share={size / most} text={bytes(size)} label={`Size of ${name}, of the largest`} />
              </Cell>
              <NumberCell label="Records">{whole(records)}</NumberCell>
              <Cell label="On">{on.length > 3 ? `${on.length} nodes` : on.join(", ")}</Cell>
            </tr>
          ))}
          {channels.length === 0 && <EmptyRow columns={4} text="No records yet." />}
        </Table>
      </div>
      <div class="section">
        <FigureCharts
          graphs={["dht.commands", "dht.records", "dht.memory", "dht.errors", "dht.unsynced", "dht.log"].map(
            (figure) => ({
              figure,
              instances: namesOf(nodes),
            }),
          )}
        />
      </div>
    </Section>
  );
}

function Queues({ nodes }: { nodes: readonly Detail[] }) {
  const channels = nodes.flatMap(({ instance, own }) =>
    listAt(own, "channels").map((channel) => ({ instance, channel })),
  );
  const shareOf = (channel: Own) =>
    (numberAt(channel, "usedBytes") ?? 0) / Math.max(1, numberAt(channel, "capacityBytes") ?? 0);
  const sorted = channels.toSorted((a, b) => shareOf(b.channel) - shareOf(a.channel));
  return (
    <Section title="Queues" note="fullest first">
      <Table
        caption="Channels of queue nodes and how full they are"
        columns={[
          ["Channel"],
          ["Node"],
          ["Full"],
          ["Records", "number"],
          ["Used", "number"],
          ["Capacity", "number"],
        ]}
      >
        {sorted.slice(0, 100).map(({ instance, channel }) => {
          const name = textAt(channel, "name") ?? "";
          return (
            <tr key={`${instance} ${name}`}>
              <th scope="row" class="name">
                {name} <span class="detail">{textAt(channel, "kind")}</span>
              </th>
              <Cell label="Node">{shortName(instance)}</Cell>
              <Cell label="Full">
                <Meter
                  share={shareOf(channel)}
                  text={`${Math.round(100 * shareOf(channel))} %`}
                  label={`${name} is full by`}
                  isLimit
                />
              </Cell>
              <NumberCell label="Records">{whole(numberAt(channel, "records") ?? 0)}</NumberCell>
              <NumberCell label="Used">{bytes(numberAt(channel, "usedBytes") ?? 0)}</NumberCell>
              <NumberCell label="Capacity">{bytes(numberAt(channel, "capacityBytes") ?? 0)}</NumberCell>
            </tr>
          );
        })}
        {channels.length === 0 && <EmptyRow columns={6} text="No channels yet." />}
      </Table>
      <div class="section">
        <FigureCharts
          graphs={["queue.pushed", "queue.popped", "queue.records", "queue.fullness", "queue.refused"].map(
            (figure) => ({
              figure,
              instances: namesOf(nodes),
            }),
          )}
        />
      </div>
    </Section>
  );
}

/** `25 Nov 20:00:00 to 25 Nov 22:15:09`, where the keys are UNIX seconds. */
function rangeText(channel: Own): string {
  const [first, last] = [numberAt(channel, "firstKey"), numberAt(channel, "lastKey")];
  if (first === undefined || last === undefined) return "";
  const isTime = first > 1e8 && last < 1e11;
  return isTime
    ? `${moment(first * 1000)} to ${moment(last * 1000)} (${duration(last - first)})`
    : `${whole(first)} to ${whole(last)}`;
}

function LogStores({ nodes }: { nodes: readonly Detail[] }) {
  const channels = nodes.flatMap(({ instance, own }) =>
    listAt(own, "channelSizes").map((channel) => ({ instance, channel })),
  );
  const most = Math.max(1, ...channels.map(({ channel }) => numberAt(channel, "bytes") ?? 0));
  return (
    <Section title="Log stores">
      <Table
        caption="Channels of log stores, what they keep and from when to when"
        columns={[["Channel"], ["Node"], ["Size"], ["Records", "number"], ["Range"]]}
      >
        {channels.slice(0, 100).map(({ instance, channel }) => {
          const name = textAt(channel, "name") ?? "";
          const size = numberAt(channel, "bytes") ?? 0;
          return (
            <tr key={`${instance} ${name}`}>
              <th scope="row" class="name">
                {name}
              </th>
              <Cell label="Node">{shortName(instance)}</Cell>
              <Cell label="Size">
                <Meter share={size / most} text={bytes(size)} label={`Size of ${name}, of the largest`} />
              </Cell>
              <NumberCell label="Records">{whole(numberAt(channel, "records") ?? 0)}</NumberCell>
              <Cell label="Range">{rangeText(channel)}</Cell>
            </tr>
          );
        })}
        {channels.length === 0 && <EmptyRow columns={5} text="No channels yet." />}
      </Table>
      <LogSearch
        places={channels.map(({ instance, channel }) => ({
          instance,
          channel: textAt(channel, "name") ?? "",
        }))}
      />
      <div class="section">
        <FigureCharts
          graphs={["logfiles.written", "logfiles.files", "logfiles.records", "logfiles.scans"].map(
            (figure) => ({
              figure,
              instances: namesOf(nodes),
            }),
          )}
        />
      </div>
    </Section>
  );
}

function Dumps({ nodes }: { nodes: readonly Detail[] }) {
  return (
    <Section title="Dumps">
      <Table
        caption="Dump nodes"
        columns={[["Node"], ["State"], ["Cycles", "number"], ["Failed", "number"], ["Last took", "number"]]}
      >
        {nodes.map(({ instance, own }) => (
          <tr key={instance}>
            <th scope="row" class="name">
              <InstanceLink name={instance} />
            </th>
            <Cell label="State">
              {textAt(own, "failure") ??
                (numberAt(own, "isDumping") === 1
                  ? "dumping"
                  : `next in ${duration(numberAt(own, "nextCycleSeconds") ?? 0)}`)}
            </Cell>
            <NumberCell label="Cycles">{whole(numberAt(own, "cycles") ?? 0)}</NumberCell>
            <NumberCell label="Failed">{whole(numberAt(own, "failedCycles") ?? 0)}</NumberCell>
            <NumberCell label="Last took">
              {numberAt(own, "cycles") === 0
                ? undefined
                : seconds((numberAt(own, "lastDurationMs") ?? 0) / 1000)}
            </NumberCell>
          </tr>
        ))}
      </Table>
    </Section>
  );
}

export function ChannelsPage() {
  const [dht, queues, logs, dumps] = ["dht", "queue", "logfiles", "dhtdump"].map(of) as [
    Detail[],
    Detail[],
    Detail[],
    Detail[],
  ];
  return (
    <>
      {dht.length > 0 && <Dht nodes={dht} />}
      {queues.length > 0 && <Queues nodes={queues} />}
      {logs.length > 0 && <LogStores nodes={logs} />}
      {dumps.length > 0 && <Dumps nodes={dumps} />}
    </>
  );
}
