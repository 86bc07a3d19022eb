/**
 * The options of the original's senders, as keys of the sender role: `node-x run sender --config FILE -- OPTION…`.
 *
 * Those of the general sender are understood; they always send raw, as it does.
 */
import { NxError } from "../../core/errors.ts";

interface Flag {
  short: string;
  /** What the option sets; without a value for switches. */
  sets(value: string): string[];
  isSwitch?: boolean;
}

const NS_PER_MS = 1e6;
const list = (value: string) => JSON.stringify(value.split(","));

const flags: Record<string, Flag> = {
  host: { short: "h", sets: (value) => [`to=${list(value)}`] },
  messages: { short: "m", sets: (value) => [`file.records=${value}`] },
  file: { short: "f", sets: (value) => ["feed=file", `file.paths=${list(value)}`] },
  "batch-size": { short: "s", sets: (value) => [`batch=${value}`] },
  interval: { short: "i", sets: (value) => [`intervalMs=${Number(value) / NS_PER_MS}`] },
  // A file is begun again whenever more records are asked for than it has.
  repeat: { short: "r", isSwitch: true, sets: () => [] },
  binary: { short: "y", isSwitch: true, sets: () => ["file.form=chunks"] },
  "msg-size": { short: "g", sets: (value) => [`file.chunkBytes=${value}`] },
  "variable-size": { short: "z", isSwitch: true, sets: () => ["file.form=frames"] },
  u64: { short: "u", isSwitch: true, sets: () => ["counters.isText=false"] },
  "start-from": { short: "v", sets: (value) => [`counters.from=${value}`] },
  partition: { short: "p", sets: (value) => [`counters.partition=${value}`] },
  // What was sent is not written to a file; latencies are in the report.
  "no-write": { short: "w", isSwitch: true, sets: () => [] },
};

/** Without these options the original sends 80-byte pieces, 500 at a time, each 5 ms, numbers as text. */
const defaults = [
  "protocol=raw",
  "feed=numbers",
  "counters.isText=true",
  "batch=500",
  "intervalMs=5",
  "file.chunkBytes=80",
];

/** `KEY=VALUE` texts, as `--set` takes them; later ones win. Throws NX_USAGE. */
export function senderFlags(words: readonly string[]): string[] {
  if (words.length === 0) return [];
  const sets = [...defaults];
  const queue = [...words];
  let messages: string | undefined;
  let from = "0";
  for (let word = queue.shift(); word !== undefined; word = queue.shift()) {
    const [name, tied] = splitTied(word);
    const flag = Object.entries(flags).find(
      ([long, { short }]) => name === `--${long}` || name === `-${short}`,
    );
    if (flag === undefined)
      throw usage(`the sender has no option ${word}`, `its options are ${Object.keys(flags).join(", ")}`);
    const [long, { isSwitch, sets: setsOf }] = flag;
    if (isSwitch === true) {
      sets.push(...setsOf(""));
      continue;
    }
    const value = tied ?? queue.shift();
    if (value === undefined) throw usage(`--${long} needs a value`);
    if (long === "messages") messages = value;
    if (long === "start-from") from = value;
    sets.push(...setsOf(value));
  }
  if (messages !== undefined) sets.push(`counters.until=${Number(from) + Number(messages)}`);
  return sets;
}

/** `--name=value` in two. */
function splitTied(word: string): [name: string, value: string | undefined] {
  const at = word.startsWith("--") ? word.indexOf("=") : -1;
  return at < 0 ? [word, undefined] : [word.slice(0, at), word.slice(at + 1)];
}

function usage(message: string, hint?: string): NxError {
  return new NxError("NX_USAGE", message, hint === undefined ? {} : { hint });
}
