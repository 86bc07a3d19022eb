/** The sources and sinks of one worker, made from what its configuration says. */
import { isAbsolute, join } from "node:path";
import { NxError } from "../../core/errors.ts";
import type { Log } from "../../core/logging/log.ts";
import type { NatsSettings } from "../../core/nats/keys.ts";
import { NatsLink } from "../../core/nats/link.ts";
import type { World } from "../../core/role.ts";
import type { TlsMaterial } from "../../core/seams/net.ts";
import { dhtTarget, logfilesTarget, queueTarget } from "../connectors/channel-targets.ts";
import { DeliveringSink } from "../connectors/delivering-sink.ts";
import { LogfilesSource } from "../connectors/logfiles-source.ts";
import { NatsSource } from "../connectors/nats-source.ts";
import { NatsTarget } from "../connectors/nats-target.ts";
import { QueueSource } from "../connectors/queue-source.ts";
import { storeTarget } from "../connectors/store-target.ts";
import type { Target } from "../connectors/target.ts";
import type { GeneratorNode, SinkNode, SourceNode } from "../plan/nodes.ts";
import type { Plan } from "../plan/plan.ts";
import { FileSink } from "../sinks/file-sink.ts";
import type { Sink, SinkEvents } from "../sinks/sink.ts";
import { TcpSink } from "../sinks/tcp-sink.ts";
import { TwoPhaseSink } from "../sinks/two-phase-sink.ts";
import { AckedSource } from "../sources/acked-source.ts";
import { FileSource } from "../sources/file-source.ts";
import { GeneratorSource } from "../sources/generator-source.ts";
import { InputLog } from "../sources/input-log.ts";
import type { Source, SourceHost } from "../sources/source.ts";
import type { StreamGrants } from "../sources/stream-grants.ts";
import { TcpSource } from "../sources/tcp-source.ts";
import {
  type Address,
  addressOf,
  assertOneEach,
  numberOf,
  sinkKinds,
  sourceKinds,
  wordOf,
} from "./addresses.ts";
import { inputDirectory } from "./fresh-start.ts";

export interface Surrounding {
  /** The worker's name. */
  worker: string;
  world: World;
  log: Log;
  dataDir: string;
  /** What relative paths are relative to. */
  directory: string;
  tls: TlsMaterial | undefined;
  nats: NatsSettings;
  connectionsMax: number;
  /** What the cluster knows of the streams of a source. */
  grantsOf(source: string): StreamGrants;
  events: SinkEvents;
}

/** Throws NX_CONFIG_INVALID. */
export async function makeSources(
  plan: Plan,
  lines: readonly string[],
  hostOf: (source: string) => SourceHost,
  around: Surrounding,
): Promise<Source[]> {
  const sources: Source[] = [];
  const names = plan.sources.map(({ name }) => name);
  const addresses = lines.map((line) => byPosition(addressOf(line, sourceKinds), names));
  assertOneEach("source", addresses);
  for (const address of addresses) {
    const node = plan.sources.find(({ name }) => name === address.name);
    if (node === undefined) throw unknown("source", address.name, names);
    sources.push(await makeSource(node, address, hostOf(node.name), around, plan.appName));
  }
  return sources;
}

async function makeSource(
  node: SourceNode | GeneratorNode,
  address: Address,
  host: SourceHost,
  around: Surrounding,
  appName: string,
): Promise<Source> {
  const { world, log, dataDir, directory, tls, connectionsMax, events } = around;
  const { onFatal } = events;
  const logEvents = { ...events, log };
  if (node.kind === "generator" || address.kind === "generator") {
    if (node.kind !== "generator" || address.kind !== "generator")
      throw new NxError(
        "NX_CONFIG_INVALID",
        `the source ${address.name} is a ${node.kind} in the application, not a ${address.kind}`,
      );
    const pauseMs = address.options.has("pauseMs") ? numberOf(address, "pauseMs", 1) : 0;
    return new GeneratorSource(node, host, { clock: world.clock, pauseMs, onFatal });
  }
  if (address.kind === "file") {
    const path = isAbsolute(address.path) ? address.path : join(directory, address.path);
    return new FileSource(node, host, { disk: world.disk, clock: world.clock, path, onFatal });
  }
  if (address.kind === "logfiles") {
    const { host: nodeHost, port, path: channel } = address;
    const pollMs = numberOf(address, "pollMs", POLL_MS_DEFAULT);
    return new LogfilesSource(node, host, {
      seams: world,
      log,
      address: { host: nodeHost, port },
      channel,
      pollMs,
    });
  }
  if (address.kind === "queue") {
    const inputLog = await InputLog.open(world, join(dataDir, inputDirectory(address.name)), logEvents);
    const { host: nodeHost, port, path: channel } = address;
    const pollMs = numberOf(address, "pollMs", POLL_MS_DEFAULT);
    return new QueueSource(node, host, {
      ...{ seams: world, log, address: { host: nodeHost, port }, channel, pollMs, inputLog },
    });
  }
  if (address.kind === "nats") {
    return new NatsSource(node, host, {
      ...{ link: natsLink(address, around, appName), clock: world.clock, log, onFatal },
      stream: address.path,
      subject: address.options.get("subject"),
      consumer:
        address.options.get("consumer") ??
        plainName(`${appName}-${around.worker}-${address.name}`).replaceAll(".", "_"),
      pending: numberOf(address, "pending", PENDING_DEFAULT),
      create: createOf(address),
    });
  }
  const { net, clock } = world;
  const common = { net, clock, log, host: address.host, port: address.port, tls, connectionsMax };
  if (address.kind === "acked") {
    const cookie = address.options.get("cookie");
    return new AckedSource(node, host, {
      ...common,
      cookie,
      grants: around.grantsOf(node.name),
      credits: numberOf(address, "credits", CREDITS_DEFAULT),
    });
  }
  const inputLog =
    wordOf(address, "log") === "true"
      ? await InputLog.open(world, join(dataDir, inputDirectory(address.name)), logEvents)
      : undefined;
  return new TcpSource(node, host, { ...common, inputLog });
}

const POLL_MS_DEFAULT = 500;
/** The original's sources give 67. */
const CREDITS_DEFAULT = 1000;
/** Of a second between checkpoints: what comes beyond waits for the next one. */
const PENDING_DEFAULT = 100_000;
const IN_FLIGHT_DEFAULT = 256;
/** To a node of the channels family, on one connection. */
const REQUESTS_IN_FLIGHT = 64;

/** One for each sink of the plan, in its order. Throws NX_CONFIG_INVALID. */
export function makeSinks(plan: Plan, lines: readonly string[], around: Surrounding): Sink[] {
  const { world, log, directory, worker, events } = around;
  const addresses = lines.map((line) => byPosition(addressOf(line, sinkKinds), plan.sinks));
  const surplus = addresses.find(({ name }) => !plan.sinks.includes(name));
  if (surplus !== undefined) throw unknown("sink", surplus.name, plan.sinks);
  assertOneEach("sink", addresses);
  return plan.sinks.map((name) => {
    const address = addresses.find((each) => each.name === name);
    if (address === undefined)
      throw new NxError("NX_CONFIG_INVALID", `nothing says where the output of the sink "${name}" goes`, {
        hint: `add it to the key sinks: "${name}=tcp://HOST:PORT" or "${name}=file:PATH"`,
      });
    if (address.kind === "file") {
      const path = isAbsolute(address.path) ? address.path : join(directory, address.path);
      return new FileSink(name, path, events, { world, log });
    }
    if (address.kind === "2pc") {
      const cookie = address.options.get("cookie") ?? "";
      const instance = plainName(`${worker}.${name}`);
      const { host, port } = address;
      return new TwoPhaseSink(name, events, { world, log, host, port, cookie, app: plan.appName, instance });
    }
    const { framing } = plan.sinkNodes.find((node) => node.name === name) as SinkNode;
    const target = targetOf(address, around, plan.appName);
    if (target !== undefined) {
      const { kind } = address;
      return new DeliveringSink(name, events, { kind, clock: world.clock, log, framing, target });
    }
    const isCommitted = wordOf(address, "mode") === "committed";
    const { host, port } = address;
    return new TcpSink(name, events, { world, log, host, port, isCommitted, framing });
  });
}

/** Where output is delivered with its checkpoint; undefined for other kinds of sinks. */
function targetOf(address: Address, around: Surrounding, appName: string): Target | undefined {
  const { kind, name, host, port, path, options } = address;
  const { world, log, worker } = around;
  switch (kind) {
    case "queue":
      return queueTarget(world, { host, port }, path, numberOf(address, "inFlight", REQUESTS_IN_FLIGHT));
    case "logfiles":
      return logfilesTarget(world, { host, port }, path, numberOf(address, "inFlight", REQUESTS_IN_FLIGHT));
    case "dht":
      return dhtTarget(world, { host, port }, path);
    case "store":
      return storeTarget({
        frontends: [`http://${host}:${port}`],
        output: `${appName}-${worker}.${name}`,
        random: world.random,
      });
    case "nats":
      return new NatsTarget({
        ...{ link: natsLink(address, around, appName), random: world.random, log, stream: path },
        subject: options.get("subject"),
        inFlight: numberOf(address, "inFlight", IN_FLIGHT_DEFAULT),
        create: createOf(address),
      });
    default:
      return undefined;
  }
}

/** How many replicas a stream gets that is missing; undefined: it is not made. */
function createOf(address: Address): number | undefined {
  return address.options.has("create") ? numberOf(address, "create", 1) : undefined;
}

function natsLink({ name }: Address, { world, log, nats, worker }: Surrounding, appName: string): NatsLink {
  return new NatsLink({
    ...{ settings: nats, clock: world.clock, random: world.random, log },
    name: `${appName} ${worker} ${name}`,
  });
}

/** Fit for names that allow little else. */
function plainName(text: string): string {
  return text.replace(/[^A-Za-z0-9._-]/g, "_");
}

/** `#2` names the application's second source or sink. */
function byPosition(address: Address, names: readonly string[]): Address {
  const position = /^#([1-9]\d?)$/.exec(address.name)?.[1];
  return position === undefined ? address : { ...address, name: names[Number(position) - 1] ?? address.name };
}

function unknown(kind: string, name: string, names: readonly string[]): NxError {
  return new NxError(
    "NX_CONFIG_INVALID",
    `the application has no ${kind} "${name}"; it has ${names.join(", ") || "none"}`,
  );
}
