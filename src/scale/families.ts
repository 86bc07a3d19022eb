/**
 * What is simulated of each family: how one request goes through the hosts, in costs of costs.ts, at any number of hosts.
 *
 * Invariant: a load has no figure of its own beside what a request is (bytes, pipeline, replicas), which its text says.
 */
import type { Costs } from "./costs.ts";
import type { Load, Outcome, Station, Step } from "./simulate.ts";

/** A figure of docs/PERFORMANCE.md that the simulation of the same set-up has to come near. */
export interface Measured {
  what: string;
  value: number;
  /** Of `value`, where it is not a rate in the family's unit: what of the outcome is compared. */
  figure?: { unit: string; of(outcome: Outcome): number };
  source: string;
  /** How far the simulated figure may be away, as a part of the measured one. */
  tolerance: number;
  load(costs: Costs): Load;
}

export interface Family {
  name: string;
  /** What is asked of it, one sentence. */
  load: string;
  /** Of `unitsPerSecond`. */
  unit: string;
  /** What to make of the figures, for docs/SCALE.md. */
  lesson: string;
  /** Hosts that are simulated at most: more of them share nothing and are copies. */
  hostsSimulatedMax?: number;
  at(hosts: number, costs: Costs): Load;
  measured: Measured[];
}

const queue = (name: string, resource: string, servers = 1): Station => ({
  name,
  resource,
  servers,
  kind: "queue",
});
const group = (name: string, resource: string): Station => ({ name, resource, servers: 1, kind: "group" });
const many = <Value>(count: number, make: (index: number) => Value): Value[] =>
  Array.from({ length: count }, (_, index) => make(index));
const pick = <Value>(all: readonly Value[], index: number): Value => all[index % all.length] as Value;

const wire = (bytes: number, { networkBytes }: Costs): number => (bytes / networkBytes) * 1e6;
const stage = (bytes: number, megabytesPerSecond: number): number => bytes / megabytesPerSecond;

// --- channels --------------------------------------------------------------------------------------------------------

interface Node {
  cpu: Station;
  network: Station;
  sync: Station;
}

const nodesOf = (hosts: number, cores: number): Node[] =>
  many(hosts, (host) => ({
    cpu: queue(`cpu ${host}`, "CPU of the nodes", cores),
    network: queue(`network ${host}`, "network of the nodes"),
    sync: group(`sync ${host}`, "sync of the disk"),
  }));

/** Callers of nodes that share nothing; the load is a pipeline of requests. */
function nodeLoad(
  nodes: readonly Node[],
  callersPerNode: number,
  units: number,
  steps: (node: Node) => Step[],
  generator?: { station: Station; us: number },
): Load {
  return {
    ...{ callers: nodes.length * callersPerNode, thinkUs: 0, units },
    stations: [
      ...nodes.flatMap(({ cpu, network, sync }) => [cpu, network, sync]),
      ...(generator === undefined ? [] : [generator.station]),
    ],
    steps: (caller) => [
      ...(generator === undefined ? [] : [{ at: generator.station, us: generator.us }]),
      ...steps(pick(nodes, caller)),
    ],
  };
}

const PIPELINE = 16;
const SET_BYTES = 110;
const setSteps =
  (costs: Costs) =>
  ({ cpu, network, sync }: Node): Step[] => [
    { at: network, us: wire(PIPELINE * SET_BYTES, costs) },
    { at: cpu, us: PIPELINE * costs.dhtSetDurable },
    { at: sync, us: costs.sync },
  ];

const channelsSet: Family = {
  name: "channels",
  load: "durable SET of 64 B in pipelines of 16, 50 connections a host, keys spread evenly",
  unit: "SET/s",
  lesson:
    "Nodes share nothing, so throughput grows with the hosts as long as clients spread their keys; what saturates is each node's own CPU. What does not scale is what must ask every node: a GetAll, a division of the hash space, a client's connections (hosts times 2.1 KiB on each node, one socket to each node on each client).",
  hostsSimulatedMax: 20,
  at: (hosts, costs) => nodeLoad(nodesOf(hosts, costs.cores), 50, PIPELINE, setSteps(costs)),
  measured: [
    {
      what: "durable SET 64 B P16, one node, redis-benchmark beside it",
      value: 760_838,
      source: 'bun run bench dht --lines="durable SET 64 B P16"',
      tolerance: 0.15,
      load: (costs) =>
        nodeLoad(nodesOf(1, 1), 50, PIPELINE, setSteps(costs), {
          station: queue("generator", "generator"),
          us: PIPELINE * costs.generatorPipelined,
        }),
    },
  ],
};

const GET_PIPELINE = 64;
const GET_BYTES = 1100;

const channelsGet: Family = {
  name: "channels-get",
  load: "GET of 1 KiB from memory in pipelines of 64, 50 connections a host",
  unit: "GET/s",
  lesson:
    "Large values turn the order around: the network of a host is full while its CPU has room. More cores in a host would not help; more hosts, or a faster network, do.",
  hostsSimulatedMax: 20,
  at: (hosts, costs) =>
    nodeLoad(nodesOf(hosts, costs.cores), 50, GET_PIPELINE, ({ cpu, network }) => [
      { at: cpu, us: GET_PIPELINE * costs.dhtGetKibibyte },
      { at: network, us: wire(GET_PIPELINE * GET_BYTES, costs) },
    ]),
  measured: [
    {
      what: "memory GET 64 B P1, one node, redis-benchmark beside it",
      value: 121_865,
      source: 'bun run bench dht --lines="memory GET 64 B P1"',
      tolerance: 0.15,
      load: (costs) =>
        nodeLoad(nodesOf(1, 1), 50, 1, ({ cpu }) => [{ at: cpu, us: costs.dhtGetMemory }], {
          station: queue("generator", "generator"),
          us: costs.generatorUnpipelined,
        }),
    },
    {
      what: "memory GET 1 KiB P64, one node, redis-benchmark beside it over loopback",
      value: 1_433_044,
      source: 'bun run bench dht --lines="memory GET 1 KiB P64"',
      tolerance: 0.15,
      load: (costs) =>
        nodeLoad(nodesOf(1, 1), 50, GET_PIPELINE, ({ cpu }) => [
          { at: cpu, us: GET_PIPELINE * costs.dhtGetKibibyte },
        ]),
    },
  ],
};

// --- reactive --------------------------------------------------------------------------------------------------------

/** The home of each commit's parts: frontends, shards with backups on the next hosts, one leader of timestamp servers. */
function commits(hosts: number, backups: number, costs: Costs, callers: number, isOneMachine: boolean): Load {
  const machine = queue("machine", "CPU of the machine", costs.cores);
  const cpus = many(hosts, (host) =>
    isOneMachine ? machine : queue(`cpu ${host}`, "CPU of the hosts", costs.cores),
  );
  const syncs = many(hosts, (host) => group(`sync ${host}`, "sync of the disk"));
  const leader = isOneMachine ? machine : queue("tss", "the timestamp servers' leader (one thread)");
  return {
    ...{ callers, thinkUs: 0, units: 1 },
    stations: [...new Set([...cpus, ...syncs, leader])],
    steps(caller, random) {
      const shard = random.integer(hosts);
      const backupsOf = many(backups, (index): Step[] => [
        { at: pick(cpus, shard + index + 1), us: costs.commitBackup },
        { at: pick(syncs, shard + index + 1), us: costs.sync },
      ]);
      return [
        { at: pick(cpus, caller), us: costs.commitFrontend },
        { at: leader, us: costs.commitTss },
        { at: pick(cpus, shard), us: costs.commitShard },
        { all: [[{ at: pick(syncs, shard), us: costs.sync }], ...backupsOf] },
      ];
    },
  };
}

const COMMIT_BACKUPS = 2;

const reactive: Family = {
  name: "reactive",
  load: "commits of one key on shards of three members, a frontend on each host, one group of timestamp servers, 8 callers a host",
  unit: "commits/s",
  lesson:
    "Shards and frontends multiply; the timestamp servers do not. Every commit asks their one leader, so it is what saturates from eight such hosts on, and a hundred times the hosts give no commit more. Reads at a level that needs no fresh timestamp, and several stores side by side, are the ways around it.",
  at: (hosts, costs) => commits(hosts, Math.min(COMMIT_BACKUPS, hosts - 1), costs, hosts * 8, false),
  measured: [
    {
      what: "commits, one member each, all on one machine (the costs are calibrated with this figure)",
      value: 13_500,
      source: "bun run bench reactive --only=etcd",
      tolerance: 0.1,
      load: (costs) => commits(1, 0, costs, 64, true),
    },
    {
      what: "commits, three members each, all on one machine",
      value: 8_900,
      source: "bun run bench reactive --only=etcd",
      tolerance: 0.3,
      load: (costs) => commits(1, COMMIT_BACKUPS, costs, 64, true),
    },
  ],
};

// --- backup ----------------------------------------------------------------------------------------------------------

const CHUNK_BYTES = 1 << 20;

const backup: Family = {
  name: "backup",
  load: "hosts whose volumes change by 10 MB/s, one proxy and one archive for all of them",
  unit: "MB/s",
  lesson:
    "One archive takes what its disk takes, with its network and CPU close behind: about a hundred hosts of this load. Volumes share nothing, so the answer is more archives (and proxies), one for each hundred; a bucket behind them (docs/object-storage.md) takes their disks away, not their CPU.",
  at(hosts, costs) {
    const network = queue("archive network", "network of the archive");
    const proxy = queue("proxy", "CPU of the proxy", costs.cores);
    const writer = queue("archive", "CPU of the archive", costs.cores);
    const disk = queue("disk", "disk of the archive");
    const us = (megabytesPerSecond: number) => stage(CHUNK_BYTES, megabytesPerSecond);
    return {
      ...{ callers: hosts, thinkUs: us(costs.volumeChange), units: CHUNK_BYTES / 1e6 },
      stations: [network, proxy, writer, disk],
      steps: () => [
        { at: proxy, us: us(costs.proxyConvert) },
        { at: network, us: wire(CHUNK_BYTES, costs) },
        { at: writer, us: us(costs.archiveApply) },
        { at: disk, us: us(costs.diskWrite) },
      ],
    };
  },
  measured: [
    {
      what: "log to sorted diff, one process",
      value: 685,
      source: "bun run bench backup",
      tolerance: 0.05,
      load(costs) {
        const convert = queue("tool", "one thread");
        const us = stage(CHUNK_BYTES, costs.proxyConvert);
        return {
          callers: 1,
          thinkUs: 0,
          units: CHUNK_BYTES / 1e6,
          stations: [convert],
          steps: () => [{ at: convert, us }],
        };
      },
    },
  ],
};

// --- presence --------------------------------------------------------------------------------------------------------

const MEASURED_USERS = 10_000;
/** Users who are simulated one by one; more ask as often in sum. */
const CALLERS_MAX = 4000;

/** Hosts of which each answers a share of the lookups, over a database of all users. */
function lookups(
  hosts: number,
  users: number,
  costs: Costs,
  callers: number,
  thinkUs: number,
  cores: number,
): Load {
  const servers = many(hosts, (host) => queue(`lookup ${host}`, "CPU of the lookup servers", cores));
  const us = costs.presenceLookup * (users / MEASURED_USERS);
  return {
    ...{ callers, thinkUs, units: 1, stations: servers },
    steps: (_caller, random) => [{ at: pick(servers, random.integer(hosts)), us }],
  };
}

const presence: Family = {
  name: "presence",
  load: "10,000 users for each host of a lookup server; each looks his friends up every five minutes",
  unit: "lookups/s",
  lesson:
    "A private lookup reads the whole database, whoever asks: that is what hides the question. Twice the users make every lookup twice as dear, so hosts added with their users add nothing. What helps is several services, each with users of its own; memory says the same (47 KB a user on every server).",
  at(hosts, costs) {
    const users = hosts * costs.presenceUsers;
    const callers = Math.min(users, CALLERS_MAX);
    const thinkUs = (costs.presencePeriod * 1000 * callers) / users;
    return lookups(hosts, users, costs, callers, thinkUs, costs.cores);
  },
  measured: [
    {
      what: "lookups among 10,000 users, 16 clients, for each second of CPU",
      value: 165,
      source: "bun run bench presence",
      tolerance: 0.05,
      load: (costs) => lookups(1, MEASURED_USERS, costs, 16, 0, 1),
    },
  ],
};

// --- streams ---------------------------------------------------------------------------------------------------------

const RECORD_BYTES = 50;
const BLOCK_RECORDS = 1310;
const CHECKPOINTS_PER_SECOND = 1;

function records(hosts: number, costs: Costs, callersPerHost: number): Load {
  const workers = many(hosts, (host) => queue(`worker ${host}`, "CPU of the workers"));
  const networks = many(hosts, (host) => queue(`network ${host}`, "network of the workers"));
  const leader = queue("leader", "the leader of checkpoints (one thread)");
  const block = wire(BLOCK_RECORDS * RECORD_BYTES, costs);
  const isAlone = hosts === 1;
  return {
    ...{ callers: hosts * callersPerHost, thinkUs: 0, units: BLOCK_RECORDS },
    stations: [...workers, ...networks, leader],
    steps(caller, random) {
      const other = random.integer(hosts);
      const here = caller % hosts;
      const process: Step = { at: pick(workers, other), us: BLOCK_RECORDS * costs.streamRecord };
      if (isAlone || other === here) return [{ at: pick(networks, here), us: block }, process];
      return [
        { at: pick(networks, here), us: block },
        { at: pick(workers, here), us: BLOCK_RECORDS * costs.streamForward },
        { at: pick(networks, other), us: block },
        process,
      ];
    },
  };
}

const streams: Family = {
  name: "streams",
  load: "records of 50 B, their keys spread over one worker a host; a record comes in anywhere and goes to its key's worker",
  unit: "records/s",
  lesson:
    "From the second worker on most records travel once more, so a worker of many does about half of what one does alone; from there it grows with the hosts. The leader of checkpoints speaks to each worker once a second: at the assumed 100 µs it would be busy for a tenth of each second with a thousand, which is not simulated with the records.",
  hostsSimulatedMax: 100,
  at: (hosts, costs) => records(hosts, costs, 8),
  measured: [
    {
      what: "market-spread, one worker",
      value: 11_300_000,
      source: "bun run bench stream",
      tolerance: 0.1,
      load: (costs) => records(1, { ...costs, networkBytes: Number.POSITIVE_INFINITY }, 8),
    },
  ],
};

/** How busy the leader of checkpoints is, as a share of its thread; for the text of docs/SCALE.md. */
export const checkpointShare = (hosts: number, costs: Costs): number =>
  (hosts * CHECKPOINTS_PER_SECOND * costs.streamBarrier) / 1e6;

// --- hub and deploying -----------------------------------------------------------------------------------------------

const SCRAPE_PERIOD_US = 1e6;

function scrapes(instances: number, costs: Costs): Load {
  const hub = queue("hub", "CPU of the hub (one thread)");
  return {
    ...{ callers: instances, thinkUs: SCRAPE_PERIOD_US, units: 1, stations: [hub] },
    steps: () => [{ at: hub, us: costs.hubScrape }],
  };
}

const hub: Family = {
  name: "hub",
  load: "four instances a host, each asked once a second",
  unit: "answers/s",
  lesson:
    "One hub watches about two thousand instances a second with one core. Beyond that its rounds take longer than their second: ask less often, or give each cluster a hub of its own and let Prometheus join them.",
  at: (hosts, costs) => scrapes(hosts * costs.instancesPerHost, costs),
  measured: [
    {
      what: "50 instances asked each second",
      value: 2.2,
      figure: { unit: "% of a core", of: ({ used }) => (used[0]?.share ?? 0) * 100 },
      source: "bun run bench hub",
      tolerance: 0.05,
      load: (costs) => scrapes(50, costs),
    },
  ],
};

/** Hosts that are worked on at the same time. */
const DEPLOY_AT_ONCE = 10;

function deploys(callers: number, costs: Costs, isShared: boolean): Load {
  const cpu = queue("operator", "CPU of the operator's machine", costs.cores);
  const network = queue("operator network", "network of the operator's machine");
  // On one machine the hosts' half of the work is done by the same cores.
  const us = (costs.deployHandshake + costs.deployUpload) * 1000 * (isShared ? 2 : 1);
  return {
    ...{ callers, thinkUs: 0, units: 1, stations: [cpu, network] },
    steps: () => [
      { at: cpu, us },
      { at: network, us: isShared ? 0 : wire(costs.releaseBytes, costs) },
    ],
  };
}

const deploy: Family = {
  name: "deploy",
  load: "first deploy over ssh from one operator's machine, ten hosts at a time",
  unit: "hosts/s",
  lesson:
    "The operator's machine encrypts every copy: about three quarters of a host a second, so a thousand hosts take some twenty minutes. A redeploy sends 0.75 MB instead of 118 and is a matter of handshakes. Two operators' machines, each with a prefix of its own, take half the time.",
  at: (hosts, costs) => deploys(Math.min(hosts, DEPLOY_AT_ONCE), costs, false),
  measured: [
    {
      what: "first deploy to ten hosts on the operator's own machine",
      value: 10 / 26.3,
      source: "bun run bench deploy 10",
      tolerance: 0.05,
      load: (costs) => deploys(DEPLOY_AT_ONCE, costs, true),
    },
  ],
};

export const scaleFamilies: readonly Family[] = [
  ...[channelsSet, channelsGet, reactive, backup],
  ...[presence, streams, hub, deploy],
];
