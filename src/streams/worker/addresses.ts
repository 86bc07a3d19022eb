/**
 * Where inputs come from and outputs go, as the configuration says it: one line for each.
 *
 *   Orders=tcp://127.0.0.1:7000?log=true      Orders=acked://127.0.0.1:7100?cookie=secret
 *   Lines=file:///var/data/lines.txt          Ticks=generator:?pauseMs=10
 *   rejects=tcp://127.0.0.1:5555?mode=committed    rejects=file:///var/data/rejects.bin    rejects=2pc://127.0.0.1:7200
 *
 * Our own roles: `queue://HOST:PORT/CHANNEL` and `logfiles://HOST:PORT/CHANNEL` (ports of the legacy protocol) as source and
 * sink, `dht://HOST:PORT/CHANNEL` and `store://HOST:PORT` (a frontend's httpPort) as sink. JetStream, at the servers that
 * the key `nats` names: `nats:STREAM?subject=orders.>` as source and sink.
 */
import type { CrossCheck } from "../../core/config/schema.ts";
import { NxError } from "../../core/errors.ts";

export interface Address {
  /** The source or sink of the application. */
  name: string;
  kind: string;
  host: string;
  port: number;
  path: string;
  options: ReadonlyMap<string, string>;
}

/** Throws NX_CONFIG_INVALID. `kinds`: what may stand before the colon, with the options that each takes. */
export function addressOf(text: string, kinds: Readonly<Record<string, readonly string[]>>): Address {
  const match = /^([^=]+)=([a-z0-9]+):(.*)$/s.exec(text);
  const [, name = "", kind = "", rest = ""] = match ?? [];
  if (match === null || !Object.hasOwn(kinds, kind)) {
    throw wrong(text, `wanted NAME=KIND:…, where KIND is one of ${Object.keys(kinds).join(", ")}`);
  }
  const [place = "", query = ""] = rest.split("?", 2);
  const options = new Map(new URLSearchParams(query));
  for (const option of options.keys()) {
    const known = kinds[kind] as readonly string[];
    if (!known.includes(option))
      throw wrong(text, `${kind} has no option "${option}"; it takes ${known.join(", ") || "none"}`);
  }
  if (kind === "file") return { name, kind, host: "", port: 0, path: place.replace(/^\/\//, ""), options };
  if (kind === "generator") return { name, kind, host: "", port: 0, path: "", options };
  if (kind === "nats") {
    if (!NATS_NAME.test(place)) throw wrong(text, "wanted nats:STREAM");
    if (!NATS_NAME.test(options.get("consumer") ?? place))
      throw wrong(text, "the name of a consumer has no spaces and none of . * > / \\");
    if (/\s|^$/.test(options.get("subject") ?? place)) throw wrong(text, "a subject has no spaces");
    return { name, kind, host: "", port: 0, path: place, options };
  }
  const authority = /^\/\/([^/]+):(\d{1,5})(?:\/([^/]+))?$/.exec(place);
  const path = authority?.[3] ?? "";
  const isChannel = kind === "queue" || kind === "logfiles" || kind === "dht";
  if (authority === null || Number(authority[2]) > 65_535 || isChannel === (path === ""))
    throw wrong(text, `wanted ${kind}://HOST:PORT${isChannel ? "/CHANNEL" : ""}`);
  return { name, kind, host: authority[1] as string, port: Number(authority[2]), path, options };
}

/** Of streams and consumers. */
const NATS_NAME = /^[^\s.*>/\\]+$/;

function wrong(text: string, wanted: string): NxError {
  return new NxError("NX_CONFIG_INVALID", `${JSON.stringify(text)} is no source or sink: ${wanted}`);
}

export const sourceKinds = {
  tcp: ["log"],
  acked: ["cookie", "credits"],
  file: [],
  generator: ["pauseMs"],
  queue: ["pollMs"],
  logfiles: ["pollMs"],
  nats: ["subject", "consumer", "pending", "create"],
} as const;
export const sinkKinds = {
  tcp: ["mode"],
  file: [],
  "2pc": ["cookie"],
  queue: ["inFlight"],
  logfiles: ["inFlight"],
  dht: [],
  store: [],
  nats: ["subject", "inFlight", "create"],
} as const;

/** A whole number from 1 among an address's options. Throws NX_CONFIG_INVALID. */
export function numberOf({ name, options }: Address, option: string, byDefault: number): number {
  const text = options.get(option) ?? String(byDefault);
  if (/^[1-9]\d{0,6}$/.test(text)) return Number(text);
  throw new NxError(
    "NX_CONFIG_INVALID",
    `${option} of ${name} is a number from 1 to 9999999, not ${JSON.stringify(text)}`,
  );
}

/** Options whose values are words. */
const wordOptions: Readonly<Record<string, readonly string[]>> = {
  log: ["true", "false"],
  mode: ["immediate", "committed"],
};

/** An option that is one of a few words; undefined when it is absent. Throws NX_CONFIG_INVALID. */
export function wordOf({ name, options }: Address, option: string): string | undefined {
  const text = options.get(option);
  const words = wordOptions[option] ?? [];
  if (text === undefined || words.includes(text)) return text;
  throw new NxError(
    "NX_CONFIG_INVALID",
    `${option} of ${name} is ${words.join(" or ")}, not ${JSON.stringify(text)}`,
  );
}

function hostAndPort(text: string): { host: string; port: number } | undefined {
  const match = /^(.+):(\d{1,5})$/.exec(text);
  if (match === null || Number(match[2]) > 65_535) return undefined;
  return { host: match[1] as string, port: Number(match[2]) };
}

export const isHostPort = (text: string): boolean => hostAndPort(text) !== undefined;

/** `host:port`. Throws NX_CONFIG_INVALID. */
export function hostPort(text: string): { host: string; port: number } {
  const found = hostAndPort(text);
  if (found === undefined)
    throw new NxError("NX_CONFIG_INVALID", `${JSON.stringify(text)} is no address: wanted HOST:PORT`);
  return found;
}

const isNats = (line: string) => /^[^=]+=nats:/.test(line);

function isPlace(line: string, kinds: Readonly<Record<string, readonly string[]>>): boolean {
  try {
    const address = addressOf(line, kinds);
    for (const option of numbers) numberOf(address, option, 1);
    for (const option of Object.keys(wordOptions)) wordOf(address, option);
    return true;
  } catch {
    return false;
  }
}

const numbers = ["pending", "inFlight", "create", "pauseMs", "pollMs", "credits"];

/** What `check` can say of places without asking anybody. */
export const placeChecks: readonly CrossCheck[] = [
  {
    path: ["sources"],
    wanted:
      "NAME=tcp://HOST:PORT?log=true, NAME=acked://HOST:PORT?cookie=TEXT&credits=NUMBER, NAME=file:PATH, NAME=generator:?pauseMs=NUMBER, NAME=queue://HOST:PORT/CHANNEL or NAME=logfiles://HOST:PORT/CHANNEL?pollMs=NUMBER, every option or none",
    holds: (value) =>
      (value as { sources: string[] }).sources.every((line) => isNats(line) || isPlace(line, sourceKinds)),
  },
  {
    path: ["sinks"],
    wanted:
      "NAME=tcp://HOST:PORT?mode=immediate|committed, NAME=2pc://HOST:PORT?cookie=TEXT, NAME=file:PATH, NAME=store://HOST:PORT, NAME=dht://HOST:PORT/CHANNEL, NAME=queue://HOST:PORT/CHANNEL or NAME=logfiles://HOST:PORT/CHANNEL?inFlight=NUMBER, every option or none",
    holds: (value) =>
      (value as { sinks: string[] }).sinks.every((line) => isNats(line) || isPlace(line, sinkKinds)),
  },
  {
    path: ["sources"],
    wanted: "nats:STREAM?subject=SUBJECT&consumer=NAME&pending=NUMBER&create=REPLICAS, every option or none",
    holds: (value) =>
      (value as { sources: string[] }).sources.filter(isNats).every((line) => isPlace(line, sourceKinds)),
  },
  {
    path: ["sinks"],
    wanted: "nats:STREAM?subject=SUBJECT&inFlight=NUMBER&create=REPLICAS, every option or none",
    holds: (value) =>
      (value as { sinks: string[] }).sinks.filter(isNats).every((line) => isPlace(line, sinkKinds)),
  },
  {
    path: ["sources"],
    wanted: "a consumer of its own for each source: what one acknowledges the other would miss",
    holds(value) {
      const consumers = (value as { sources: string[] }).sources
        .filter(isNats)
        .map((line) => addressOf(line, sourceKinds))
        .flatMap(({ path, options }) =>
          options.has("consumer") ? [`${path} ${options.get("consumer")}`] : [],
        );
      return new Set(consumers).size === consumers.length;
    },
  },
];

/** Two places for one source, or one sink, would share its position in checkpoints. Throws NX_CONFIG_INVALID. */
export function assertOneEach(kind: string, addresses: readonly Address[]): void {
  const names = addresses.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined)
    throw new NxError("NX_CONFIG_INVALID", `there are two places for the ${kind} "${twice}"`, {
      hint: "an application may have several, with names of their own",
    });
}
