/**
 * The options of the original's workers, as keys of the worker role: `node-x run worker --config FILE -- OPTION…`.
 *
 * Words that are none of its options are the application's, as there. Its lists of addresses are by position: the first one
 * is the application's first source. As in the release that the demos use, sources are opened by the initializer only.
 */
import { NxError } from "../../core/errors.ts";
import { hostPort } from "./addresses.ts";

interface Flag {
  short: string;
  isSwitch?: boolean;
  take(seen: Seen, value: string): void;
}

/** What the options said, before it is known whether this is the initializer. */
interface Seen {
  sets: string[];
  words: string[];
  sources: string[];
  isInitializer: boolean;
  control: string | undefined;
  data: string | undefined;
  myControl: string | undefined;
  myData: string | undefined;
  name: string | undefined;
  isJoining: boolean;
  count: string | undefined;
  dir: string | undefined;
}

const NS_PER_MS = 1e6;
const ignore = () => {};
const set =
  (key: string) =>
  (seen: Seen, value: string): void =>
    void seen.sets.push(`${key}=${value}`);

const PLACE = /^(?:([^@]+)@)?([^:@]+:\d+)(?::([^:]+):(\d+):\d+|:\d+)?$/;

/**
 * `host:port`, `name@host:port`, `name@host:port:bytes`, `name@host:port:cookie:credits:refill` (acknowledged): the place, by
 * name or by position from 1. Throws NX_USAGE.
 */
function placed(text: string, index: number): string {
  const [, name = `#${index + 1}`, place, cookie, credits] = PLACE.exec(text) ?? [];
  if (place === undefined)
    throw new NxError("NX_USAGE", `${text} is no place: wanted HOST:PORT or NAME@HOST:PORT`);
  if (cookie === undefined) return `${name}=tcp://${place}`;
  return `${name}=acked://${place}?cookie=${encodeURIComponent(cookie)}&credits=${credits}`;
}

const list = (value: string): string[] => value.split(",").map(placed);

const flags: Record<string, Flag> = {
  in: { short: "i", take: (seen, value) => void (seen.sources = list(value)) },
  out: { short: "o", take: (seen, value) => void seen.sets.push(`sinks=${JSON.stringify(list(value))}`) },
  metrics: { short: "m", take: set("metricsHub") },
  control: { short: "c", take: (seen, value) => void (seen.control = value) },
  data: { short: "d", take: (seen, value) => void (seen.data = value) },
  "my-control": { short: "x", take: (seen, value) => void (seen.myControl = value) },
  "my-data": { short: "y", take: (seen, value) => void (seen.myData = value) },
  external: { short: "e", take: (seen, value) => void seen.sets.push(`adminPort=${hostPort(value).port}`) },
  "cluster-initializer": { short: "t", isSwitch: true, take: (seen) => void (seen.isInitializer = true) },
  "worker-count": { short: "w", take: (seen, value) => void (seen.count = value) },
  name: { short: "n", take: (seen, value) => void (seen.name = value) },
  join: {
    short: "j",
    take(seen, value) {
      seen.isJoining = true;
      seen.control = value;
    },
  },
  // The world stops for as long as the keys need, not for a time that somebody guessed.
  "stop-pause": { short: "u", take: ignore },
  "resilience-dir": { short: "r", take: (seen, value) => void (seen.dir = value) },
  "run-with-resilience": { short: "", isSwitch: true, take: ignore },
  "resilience-enable-io-journal": { short: "", isSwitch: true, take: ignore },
  "resilience-dos-server": { short: "", take: (seen, value) => void seen.sets.push(`replicas=${JSON.stringify(value.split(","))}`) },
  "time-between-checkpoints": { short: "", take: (seen, value) => set("checkpointMs")(seen, String(Math.max(10, Number(value) / NS_PER_MS))) },
  "log-rotation": { short: "", isSwitch: true, take: ignore },
  "event-log-file-size": { short: "l", take: set("compaction.logBytesMin") },
}; // prettier-ignore

/** Options of the original that have no meaning here: the application must not get them instead. */
const refused: Record<string, string> = {
  "--resilience-no-local-file-io": "a worker's state log is always on its own disk, replicas have copies",
  "--spike-drop": "workers do not break their own connections",
  "--spike-prob": "workers do not break their own connections",
  "--spike-margin": "workers do not break their own connections",
  "--spike-seed": "workers do not break their own connections",
  "--help": "docs/streams.md lists what is understood",
  "-h": "docs/streams.md lists what is understood",
};

/** `KEY=VALUE` texts, as `--set` takes them. Throws NX_USAGE. */
export function workerFlags(words: readonly string[]): string[] {
  const seen: Seen = {
    ...{ sets: [], words: [], sources: [], isInitializer: false, isJoining: false },
    ...{ control: undefined, data: undefined, myControl: undefined, myData: undefined },
    ...{ name: undefined, count: undefined, dir: undefined },
  };
  const queue = [...words];
  for (let word = queue.shift(); word !== undefined; word = queue.shift()) {
    const at = word.startsWith("--") ? word.indexOf("=") : -1;
    const [name, tied] = at < 0 ? [word, undefined] : [word.slice(0, at), word.slice(at + 1)];
    const flag = Object.entries(flags).find(
      ([long, { short }]) => name === `--${long}` || (short !== "" && name === `-${short}`),
    );
    if (flag === undefined) {
      if (refused[name] !== undefined) throw new NxError("NX_USAGE", `${name}: ${refused[name]}`);
      seen.words.push(word);
      continue;
    }
    const [long, { isSwitch, take }] = flag;
    const value = isSwitch === true ? "" : (tied ?? queue.shift());
    if (value === undefined) throw new NxError("NX_USAGE", `--${long} needs a value`);
    take(seen, value);
  }
  return setsOf(seen);
}

function setsOf(seen: Seen): string[] {
  const {
    sets,
    words,
    sources,
    isInitializer,
    control,
    data,
    myControl,
    myData,
    name,
    isJoining,
    count,
    dir,
  } = seen;
  const own = isInitializer ? { control, data } : { control: myControl, data: myData };
  const result = [...sets];
  const add = (key: string, value: string | number | undefined) => {
    if (value !== undefined) result.push(`${key}=${value}`);
  };
  add("name", isInitializer ? "initializer" : name);
  add("host", own.control === undefined ? undefined : hostPort(own.control).host);
  add(
    "controlPort",
    own.control === undefined ? (isInitializer ? undefined : 0) : hostPort(own.control).port,
  );
  add("dataPort", own.data === undefined ? (isInitializer ? undefined : 0) : hostPort(own.data).port);
  if (isInitializer) {
    add("size", count);
    if (sources.length > 0) add("sources", JSON.stringify(sources));
  } else {
    add("join", control);
    if (isJoining) add("joining", count ?? 1);
    else if (count !== undefined)
      throw new NxError("NX_USAGE", "--worker-count is for the initializer, or for a worker that joins");
  }
  if (dir !== undefined) add("dataDir", `${dir}/${isInitializer ? "initializer" : (name ?? "worker")}`);
  if (words.length > 0) add("appArguments", JSON.stringify(words));
  return result;
}
