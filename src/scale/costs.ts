/**
 * THE table of what things cost, each figure with the command that measured it and where it is written down. The simulation
 * knows no other figures.
 *
 * Invariant: a figure is either measured (`source` is a command of this repository), given (`source` says by whom: hardware that
 * the reader may have otherwise), or assumed (`isAssumed`), and then every table that uses it says so.
 */
export interface Cost {
  value: number;
  unit: "µs" | "ms" | "bytes" | "MB/s" | "bytes/s" | "cores" | "users" | "instances";
  /** What it is of, one line. */
  of: string;
  /** The command that measured it; what it was computed from. */
  source: string;
  isAssumed?: true;
}

const PERFORMANCE = "docs/PERFORMANCE.md";

export const costs = {
  cores: { value: 2, unit: "cores", of: "cores of a host", source: `the machine of ${PERFORMANCE}; --set cores=N` },
  networkBytes: { value: 1.25e9, unit: "bytes/s", of: "what a host's network takes, each way", source: "10 Gbit/s; --set networkBytes=N" },
  sync: { value: 160, unit: "µs", of: "one fdatasync over blocks that were written before", source: `${PERFORMANCE}, "Durable"; bun run bench dht` },

  dhtSetDurable: { value: 1.29, unit: "µs", of: "CPU of a durable SET of 64 B in a pipeline of 16", source: 'bun run bench dht --lines="durable SET 64 B"' },
  dhtGetMemory: { value: 6.53, unit: "µs", of: "CPU of an unpipelined GET of 64 B", source: 'bun run bench dht --lines="memory GET 64 B P1"' },
  dhtGetKibibyte: { value: 0.68, unit: "µs", of: "CPU of a GET of 1 KiB in a pipeline of 64", source: 'bun run bench dht --lines="memory GET 1 KiB"' },
  generatorUnpipelined: { value: 7.6, unit: "µs", of: "redis-benchmark for one unpipelined request, its own limit beside redis", source: 'bun run bench dht --lines="memory SET 64 B P1": 131,639/s of redis' },
  generatorPipelined: { value: 0.28, unit: "µs", of: "redis-benchmark for one request of a long pipeline, its own limit", source: 'bun run bench dht --lines="memory GET 64 B P64": 3,536,819/s' },

  commitFrontend: { value: 57, unit: "µs", of: "CPU of a frontend for a commit", source: "bun run bench reactive --only cpu (docs/store.md: 80 to 140), at the pace of --only=etcd, one member: 2 cores / 13,500" },
  commitTss: { value: 16, unit: "µs", of: "CPU of the timestamp servers' leader for a commit", source: "as above (20 to 40)" },
  commitShard: { value: 75, unit: "µs", of: "CPU of a shard's primary for a commit", source: "as above (115 to 175)" },
  commitBackup: { value: 58, unit: "µs", of: "CPU of each backup of a shard for a commit", source: "as above (85 to 140)" },

  proxyConvert: { value: 685, unit: "MB/s", of: "log to sorted diff, one thread", source: "bun run bench backup" },
  archiveApply: { value: 678, unit: "MB/s", of: "a diff written into an image, one thread", source: "bun run bench backup" },
  diskWrite: { value: 1133, unit: "MB/s", of: "writing an image to the disk", source: "bun run bench backup: dd of the same image" },
  volumeChange: { value: 10, unit: "MB/s", of: "what one host's volumes change, the load", source: "no measurement", isAssumed: true },

  presenceLookup: { value: 6060, unit: "µs", of: "CPU of one lookup server for one lookup among 10,000 users, 16 clients sharing scans", source: "bun run bench presence: 165 lookups per second of CPU" },
  presenceUsers: { value: 10_000, unit: "users", of: "users that each host of lookup servers brings along, the load", source: "no measurement", isAssumed: true },
  presencePeriod: { value: 300_000, unit: "ms", of: "a user looks his friends up this often, the load", source: "an epoch of the sample configuration", isAssumed: true },

  streamRecord: { value: 0.0885, unit: "µs", of: "a record of 50 B through market-spread on one worker, from TCP to state", source: "bun run bench stream: 11.3 M records/s" },
  streamForward: { value: 0.0885, unit: "µs", of: "a record that goes on to another worker, beside its processing there", source: "no measurement: taken to be what taking it from TCP costs at most", isAssumed: true },
  streamBarrier: { value: 100, unit: "µs", of: "the leader, for each worker and checkpoint", source: "no measurement", isAssumed: true },

  hubScrape: { value: 440, unit: "µs", of: "CPU of the hub to ask one instance", source: "bun run bench hub: 2.2 % of a core for 50 instances each second" },
  instancesPerHost: { value: 4, unit: "instances", of: "instances on a host, the load of a hub", source: "no measurement", isAssumed: true },

  deployHandshake: { value: 130, unit: "ms", of: "CPU of the operator's machine for one ssh connection and `status`", source: "bun run bench deploy 10: `status` of ten hosts over ssh takes 1.3 s on two cores, half of it theirs" },
  deployUpload: { value: 2500, unit: "ms", of: "CPU of the operator's machine for a first deploy to one host, handshake excluded", source: "bun run bench deploy 10: 26.3 s for ten hosts on two cores, half of it theirs" },
  releaseBytes: { value: 118e6, unit: "bytes", of: "a release", source: "bun run bench deploy 10" },
} as const satisfies Record<string, Cost>; // prettier-ignore

export type CostName = keyof typeof costs;
/** The values by name: those of the table, or others to see what they would do. */
export type Costs = Record<CostName, number>;

export function costValues(changed: Partial<Costs> = {}): Costs {
  const values = Object.fromEntries(Object.entries(costs).map(([name, { value }]) => [name, value]));
  return { ...(values as Costs), ...changed };
}
