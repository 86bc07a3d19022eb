/**
 * The controller's subcommands: `node-x walb <subcommand> -a HOST -p PORT …`, and the same under the name `walbc`.
 *
 * Output is the original's: a number, a text or lines on standard output, nothing for a command that did what it should.
 * Its JSON form is the same value; of lines that are records, objects.
 */
import { hostname } from "node:os";
import { NxError } from "../../core/errors.ts";
import { printJson } from "../../core/print.ts";
import { defineVerb, type Surroundings, type Verb, type VerbTable } from "../../core/verb.ts";
import { realClock } from "../../core/seams/clock.ts";
import { Controller } from "../client/controller.ts";
import { controllerNet } from "../client/controller-net.ts";
import { pointAt } from "../client/points.ts";
import { compressionText, parseCompression } from "../formats/compression.ts";
import { parseSize, uuidText } from "../formats/units.ts";
import { type Forwarding, parseAddress } from "../wire/values.ts";
import { type Options, parseOptions, wanted } from "./options.ts";

/** What a subcommand prints. */
type Value = bigint | string | string[] | undefined;

interface Subcommand {
  /** Words behind the name. */
  usage: string;
  summary: string;
  /** Another way to call it. */
  more?: string;
  run(controller: Controller, words: string[], call: Surroundings): Promise<Value>;
}

const words = (
  name: string,
  usage: string,
  summary: string,
  answer: "ok" | "accept",
): [string, Subcommand] => [
  name,
  { usage, summary, run: (controller, given) => commanded(controller, name, given, answer, usage) },
];

/** A server that misses words says only which ones by their numbers. */
async function commanded(
  controller: Controller,
  name: string,
  given: readonly string[],
  answer: "ok" | "accept",
  usage: string,
): Promise<undefined> {
  try {
    await controller.command(name, given, answer);
  } catch (error) {
    if (!(error as Error).message.startsWith("missing required params")) throw error;
    throw new NxError("NX_USAGE", `too few words: wanted ${usage}`);
  }
  return undefined;
}

function needs(given: readonly string[], count: number, usage: string): void {
  if (given.length < count) throw new NxError("NX_USAGE", `too few words: wanted ${usage}`);
}

/** `ADDR:PORT [CMPR] [DELAY]`. */
function forwardingOf([address = "", compression = "snappy:0:1", delay = "0"]: string[]): Forwarding {
  const archive = parseAddress(address);
  const parsed = parseCompression(compression);
  if (archive === undefined) throw wanted("the address", "HOST:PORT", address);
  if (parsed === undefined) throw wanted("the compression", "TYPE:LEVEL:THREADS", compression);
  if (!/^\d{1,9}$/.test(delay)) throw wanted("the delay", "seconds", delay);
  return { archive, compression: parsed, delaySeconds: Number(delay) };
}

async function archiveInfo(controller: Controller, given: string[]): Promise<Value> {
  needs(given, 2, "list|get|add|update|delete VOL …");
  const [verb, volume, name = "", ...rest] = given as [string, string, ...string[]];
  if (verb === "list") return await controller.archiveNames(volume);
  if (name === "") throw new NxError("NX_USAGE", "the archive's name is missing");
  if (verb === "get") {
    const { archive, compression, delaySeconds } = await controller.forwarding(volume, name);
    return `${archive.host}:${archive.port} ${compressionText(compression)} ${delaySeconds}`;
  }
  if (verb === "delete") await controller.changeForwarding("delete", volume, name);
  else if (verb === "add" || verb === "update")
    await controller.changeForwarding(verb, volume, name, forwardingOf(rest));
  else throw wanted("archive-info", "list, get, add, update or delete", verb);
  return undefined;
}

/** `VOL at TIME` takes the newest point that is not later and prints its gid. */
async function restore(controller: Controller, given: string[]): Promise<Value> {
  const [volume = "", word = "", moment = ""] = given;
  if (word !== "at") return await commanded(controller, "restore", given, "accept", "VOL GID | VOL at TIME");
  needs(given, 3, "VOL at TIME");
  const { gid } = await pointAt(controller, volume, moment, Math.floor(realClock.nowMs() / 1000));
  await controller.command("restore", [volume, String(gid)], "accept");
  return gid;
}

/** Streams the image at a gid to standard output, or into a file or device. */
async function virtualFullScan(controller: Controller, given: string[], call: Surroundings): Promise<Value> {
  needs(given, 3, "DEV|stdout VOL GID [BULK] [SIZE] [SLEEPPCT]");
  const [target = "", ...rest] = given;
  const bulkBytes = rest[2] === undefined ? 256 << 10 : parseSize(rest[2]);
  if (bulkBytes === undefined) throw wanted("BULK", "a size", rest[2] ?? "");
  const { withFiles } = await import("./files.ts");
  await withFiles(call, (files) =>
    files.writeTo(target === "stdout" ? "-" : target, (sink) =>
      controller.scan(rest, bulkBytes, (bulk) => sink.append(bulk)),
    ),
  );
  return undefined;
}

export const subcommands: Record<string, Subcommand> = Object.fromEntries([
  ["status", { usage: "[VOL]", summary: "Print what a server says of itself or of a volume", run: (controller, [volume]) => controller.status(volume) }],
  words("init-vol", "VOL [WDEV]", "Make a volume", "ok"),
  words("clear-vol", "VOL", "Remove a volume; on an archive with all its images and diffs", "ok"),
  words("reset-vol", "VOL [GID]", "Begin a volume anew", "ok"),
  words("full-bkp", "VOL [BULK]", "Copy a volume in full, then ship its log", "accept"),
  words("hash-bkp", "VOL [BULK]", "Compare a volume by hashes, then ship its log", "accept"),
  ["restore", { usage: "VOL GID | VOL at TIME", summary: "Make an image of a point in time, on an archive or out of a bucket", more: "without a server: -from s3://BUCKET/PREFIX VOL [GID | at TIME] -o FILE, with the options of `walb bucket list`", run: restore }],
  words("del-restored", "VOL GID", "Remove a restored image", "ok"),
  words("del-cold", "VOL GID", "Remove a cold snapshot", "ok"),
  words("start", "VOL [target|standby]", "Start a volume", "ok"),
  words("stop", "VOL [graceful|force|empty]", "Stop a volume", "accept"),
  ["archive-info", { usage: "list VOL | get VOL NAME | add|update VOL NAME ADDR:PORT [CMPR] [DELAY] | delete VOL NAME", summary: "Where a proxy forwards a volume", run: archiveInfo }],
  ["snapshot", { usage: "VOL", summary: "Take a snapshot; prints its gid", run: async (controller, given) => { needs(given, 1, "VOL"); return await controller.snapshot(given[0] as string); } }],
  words("disable-snapshot", "VOL GID…", "Let points be merged away", "ok"),
  words("enable-snapshot", "VOL GID…", "Keep points", "ok"),
  words("replicate", "VOL gid GID|size MB ADDR:PORT [RESYNC] [DONTMERGE] [CMPR] [MAXMERGE] [BULK]", "Bring a volume to another archive", "accept"),
  words("apply", "VOL GID", "Write diffs up to a point into the base image", "accept"),
  words("merge", "VOL GIDB gid GIDE|size MB", "Merge diffs", "accept"),
  words("resize", "VOL SIZE [zeroclear]", "Grow a volume", "ok"),
  words("kick", "[VOL [ARCHIVE]]", "Run waiting jobs at once", "ok"),
  words("set-full-scan-bps", "SIZE", "Limit the reading of a full copy", "ok"),
  ["bhash", { usage: "VOL GID [BULK] [SIZE]", summary: "Print the hash of the image at a point", run: async (controller, given) => uuidText(await controller.blockHash(given)) }],
  ["virt-full-scan", { usage: "DEV|stdout VOL GID [BULK] [SIZE] [SLEEPPCT]", summary: "Write the image at a point to a file, a device or standard output", run: virtualFullScan }],
  ["get", { usage: "TARGET [ARG…]", summary: "Ask one thing: state, diff, restorable, uuid, base …", run: async (controller, [target, ...args]) => { if (target === undefined) throw new NxError("NX_USAGE", "which target?"); return await controller.get(target, ...args); } }],
  ["exec", { usage: "COMMAND [ARG…]", summary: "Run a command on the server's host, where that is allowed", run: (controller, given) => controller.lines("exec", given) }],
  ["shutdown", { usage: "[graceful|force]", summary: "End a server", run: async (controller, [mode = "graceful"]) => void (await controller.shutdown(mode.startsWith("f"))) }],
  ["sleep", { usage: "SECONDS", summary: "Wait on the server, for tests", run: async (controller, [seconds = "0"]) => void (await controller.sleep(Number(seconds))) }],
  ["version", { usage: "", summary: "Print a server's version", run: (controller) => controller.version() }],
  words("gc-diff", "VOL", "Remove diffs that are not on the chain", "ok"),
  words("dbg-reload-metadata", "VOL", "Read a volume's metadata again", "ok"),
  words("dbg-set-uuid", "VOL UUID", "Set a volume's uuid", "ok"),
  words("dbg-set-state", "VOL STATE", "Set a volume's state", "ok"),
  words("dbg-set-base", "VOL STATE", "Set what a base image is taken for", "ok"),
  words("dbg-dump-logpack-header", "VOL LSID", "Save a pack header of the log", "ok"),
] as [string, Subcommand][]); // prettier-ignore

export const globalOptions = {
  a: "value",
  p: "value",
  to: "value",
  id: "value",
  retry: "value",
  allow: "flag",
} as const;

/** Which server is asked, and how long it may be silent, where no option says it. */
interface Defaults {
  host?: string;
  port?: number;
  silenceSeconds?: number;
}

/** A controller of what `-a` and `-p` name. */
export async function connectController(
  options: Options,
  environment: Surroundings["environment"],
  { host: usualHost, port: usualPort = 0, silenceSeconds = 10 }: Defaults = {},
): Promise<Controller> {
  const [host, port] = [options.text("a") ?? usualHost, options.number("p", usualPort)];
  if (host === undefined || port < 1 || port > 65535)
    throw new NxError("NX_USAGE", "-a HOST and -p PORT are needed: which server?");
  const { realWorld } = await import("../../core/seams/world-real.ts");
  const { net: plain, clock } = realWorld();
  const net = controllerNet(plain, clock, environment);
  const clientId = options.text("id", hostname());
  const timeoutMs = options.number("to", silenceSeconds) * 1000;
  return new Controller({ net, clock, host, port, clientId, timeoutMs });
}

/** Lines of `name:value` with tabs between them, which the original has for programs, as objects. */
export function recordsOf(lines: readonly string[]): Record<string, string>[] | undefined {
  const isRecord = (line: string) => line.split("\t").every((field) => /^\w+:/.test(field));
  return lines.every(isRecord)
    ? lines.map((line) => Object.fromEntries(line.split("\t").map((field) => field.split(/:(.*)/s))))
    : undefined;
}

function print(name: string, value: Value, { stdout }: Surroundings, isJson: boolean): void {
  if (isJson) {
    if (typeof value === "bigint") printJson(stdout, Number(value));
    else if (name === "get" && Array.isArray(value)) printJson(stdout, recordsOf(value) ?? value);
    else if (value !== undefined) printJson(stdout, value);
    return;
  }
  if (Array.isArray(value)) stdout.write(value.map((line) => `${line}\n`).join(""));
  else if (value !== undefined) stdout.write(`${value}\n`);
}

/** Runs one subcommand; `get` and `status` are tried again where the server does not answer. */
export async function runSubcommand(
  name: string,
  given: readonly string[],
  call: Surroundings,
): Promise<number> {
  const options = parseOptions(given, globalOptions);
  const subcommand = subcommands[name] as Subcommand;
  const controller = await connectController(options, call.environment);
  const tries = name === "get" || name === "status" ? 1 + options.number("retry", 2) : 1;
  for (let left = tries; ; left--) {
    try {
      print(name, await subcommand.run(controller, options.words, call), call, options.has("json"));
      return 0;
    } catch (error) {
      const isTransient = error instanceof NxError && error.code === "NX_CONNECT_FAILED";
      if (!isTransient || left <= 1) throw error;
    }
  }
}

/** Words that name a bucket instead of a server. */
const isFromBucket = (name: string, rest: readonly string[]) =>
  name === "restore" && rest.some((word) => /^--?from$/.test(word));

/** A verb for each subcommand. */
export const controllerVerbs: VerbTable = Object.fromEntries(
  Object.entries(subcommands).map(([name, { usage, summary, more }]) => [
    name,
    async (): Promise<Verb> =>
      defineVerb({
        name,
        summary,
        description: `-a HOST -p PORT ${usage}; -to SECONDS of silence (10), -id NAME, -retry N for get and status (2), -json.${more === undefined ? "" : ` Or ${more}.`}`,
        passesOptions: true,
        examples: [{ command: `node-x walb ${name} -a 127.0.0.1 -p 13020 ${usage}`.trim(), shows: summary }],
        run: async (call) =>
          isFromBucket(name, call.rest)
            ? (await import("./bucket.ts")).restoreVerb(call)
            : runSubcommand(name, call.rest, call),
      }),
  ]),
);
