/** The configuration of the worker role, and what it says of itself. Only declarations. */
import { z } from "zod";
import {
  crossCheck,
  type CrossCheck,
  filePath,
  group,
  integer,
  key,
  port,
  roleSchema,
} from "../../core/config/schema.ts";
import { reloadableKeys } from "../../core/config/keys.ts";
import { placeChecks } from "./addresses.ts";
import { WORKER_NAME } from "./messages.ts";
import { workerFlags } from "./original-flags.ts";
import { natsChecks, natsKeys } from "../../core/nats/keys.ts";
import type { RoleAbout } from "../../core/role.ts";

const MEBIBYTE = 1024 * 1024;
const address = () =>
  z
    .string()
    .regex(/^[^\s:]+:\d{1,5}$/)
    .meta({ wanted: "host:port" });
const placed = () =>
  z
    .string()
    .regex(/^[^=]+=[a-z0-9]+:/)
    .meta({ wanted: "NAME=KIND:PLACE" });

const keys = roleSchema({
  app: key(
    z.string().min(1).default("word-count"),
    "The application: a TypeScript file, relative to the working directory, or the name of one that comes along. `deploy` brings a file that lies beside the prefix's files, with what it imports.",
    { example: "word-count", isProgram: true },
  ),
  appArguments: key(z.array(z.string()).default([]), "Words for the application, as `a.args`."),
  name: key(
    z.string().regex(WORKER_NAME).default("initializer"),
    "The worker's name in its cluster. The worker `initializer` leads: it begins checkpoints and takes others in.",
  ),
  size: key(
    integer(1, { min: 1, max: 256 }),
    "How many workers a new cluster waits for, the initializer among them. Read by the initializer.",
  ),
  join: key(
    address().optional(),
    "The control address of the initializer, or of any worker of the cluster.",
    {
      absent: "this worker is the initializer",
      example: "127.0.0.1:12500",
    },
  ),
  joining: key(
    integer(0, { min: 0, max: 256 }),
    "For a worker that joins a running cluster: how many join together. 0: it is one of those that the cluster waits for.",
  ),
  controlPort: port(12500, "Port on which workers talk about epochs and checkpoints."),
  dataPort: port(12501, "Port on which workers send each other records."),
  sources: key(
    z.array(placed()).default([]),
    "Where this worker's inputs come from, by the names in the application: `Lines=tcp://127.0.0.1:7000` (`?log=true` keeps what raw senders sent), `Lines=acked://127.0.0.1:7100?cookie=…`, `Lines=file:lines.txt`, `Ticks=generator:`. Channels of our own nodes, by the ports of the legacy protocol: `Lines=logfiles://127.0.0.1:10010/CHANNEL`, `Lines=queue://127.0.0.1:10020/CHANNEL`. A JetStream stream, by a durable consumer (`?subject=orders.>&consumer=NAME&pending=100000`, and `create=3` to make a stream that is missing, with three replicas): `Lines=nats:STREAM`.",
    { example: ["Lines=tcp://127.0.0.1:7000"] },
  ),
  sinks: key(
    z.array(placed()).default([]),
    "Where the output goes, by the names in the application: `counts=tcp://127.0.0.1:5555` (`?mode=committed` sends with the checkpoint), `counts=file:counts.out` (exactly once), `counts=2pc://127.0.0.1:5556` (exactly once). With the checkpoint to our own roles: `counts=store://127.0.0.1:12355` (a frontend; exactly once, in one transaction), `counts=dht://127.0.0.1:10000/CHANNEL`, `counts=queue://127.0.0.1:10020/CHANNEL`, `counts=logfiles://127.0.0.1:10010/CHANNEL` (both `?inFlight=64`; 1 keeps records in order also when the node has no room for one). With the checkpoint to a JetStream stream (`?subject=counts.out&inFlight=256&create=3`; exactly once): `counts=nats:STREAM`.",
    { example: ["counts=file:counts.out"] },
  ),
  nats: key(group(natsKeys), "The NATS servers that `nats:` sources and sinks are on."),
  checkpointMs: key(
    integer(1000, { min: 10, max: 86_400_000 }),
    "Time between a checkpoint's end and the next one's begin. Read by the initializer.",
  ),
  secretFile: key(
    filePath().optional(),
    "File with the secret that all workers of the cluster share. Must not be readable by other users.",
    { fileKind: "secret", absent: "any worker of the same application may join", example: "cluster.key" },
  ),
  peerCa: key(
    filePath().optional(),
    "PEM file with the authorities that sign the certificates of the other workers and of replicas. With it they are called with TLS, showing the pair of `tls`.",
    { fileKind: "caBundle", absent: "they are called without TLS", example: "tls/ca.crt" },
  ),
  metricsHub: key(
    address().optional(),
    "The hub that is told every two seconds how many records came and how long they took: its metricsPort.",
    { absent: "no hub is told", example: "127.0.0.1:5001" },
  ),
  replicas: key(
    z.array(address()).default([]),
    "Replica servers that keep a copy of the state log: a checkpoint counts only when enough of them have it on disk.",
  ),
  replicaAcks: key(
    integer(1, { min: 1, max: 16 }),
    "How many replicas must have a checkpoint before it counts.",
  ),
  compaction: key(
    group({
      logBytesMin: key(
        integer(64 * MEBIBYTE, { min: 1024 }),
        "The state log is not compacted while it is shorter than this.",
      ),
      growthPercent: key(
        integer(100, { min: 10, max: 10_000 }),
        "The state log is compacted into a snapshot when it outgrows the last one by this much.",
      ),
    }),
    "When the state log is rewritten as a snapshot. Records flow meanwhile.",
  ),
  onStepError: key(
    z.enum(["fail", "skip"]).default("fail"),
    "What becomes of a record for which a step throws. fail: the worker stops before a checkpoint holds what was done so far. skip: the record goes to the dead letters.",
  ),
  deadLetters: key(
    group({
      bytesMax: key(
        integer(64 * MEBIBYTE, { min: 0 }),
        "Records that cannot be decoded or processed are written to <dataDir>/dead-letters.jsonl, up to this size.",
      ),
    }),
    "Records that cannot be processed.",
  ),
});

const peersAgree: CrossCheck = {
  path: ["peerCa"],
  wanted:
    "a file beside `tls`, and `tls` beside it: workers of a cluster either all call each other with TLS or none does",
  holds(value) {
    const { tls, peerCa, join, size } = value as Partial<z.output<typeof keys>>;
    if (peerCa !== undefined) return tls !== undefined;
    return tls === undefined || (join === undefined && size === 1);
  },
};

export const workerConfig = [peersAgree, ...natsChecks(["nats"]), ...placeChecks].reduce(crossCheck, keys);

export type WorkerConfig = z.output<typeof workerConfig>;

export const workerAbout: RoleAbout<typeof workerConfig> = {
  name: "worker",
  summary: "Stateful stream processing that survives crash and migration",
  durability:
    "state and acknowledged input survive power loss as of the last checkpoint; raw TCP input since then with ?log=true",
  config: workerConfig,
  reloadable: reloadableKeys(workerConfig),
  originalFlags: workerFlags,
  canStartFresh: true,
};
