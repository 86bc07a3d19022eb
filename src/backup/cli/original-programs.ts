/**
 * The command lines of the original programs: `walb-storage`, `walb-archive`, `walb-proxy`, `walbc`.
 *
 * Each server option becomes a key of the role; what has no meaning here is refused by name rather than passed over.
 */
import { hostname } from "node:os";
import { resolve } from "node:path";
import type { ConfigSources } from "../../core/config/load.ts";
import { NxError } from "../../core/errors.ts";
import type { Surroundings } from "../../core/verb.ts";
import { globalOptions, runSubcommand, subcommands } from "./controller.ts";
import { asksForHelp, type OptionKind, type Options, parseOptions, wanted } from "./options.ts";
import {
  archiveOptions,
  commonOptions,
  type OptionTexts,
  proxyOptions,
  storageOptions,
  walbcOptions,
} from "./original-options.ts";

/** Runs a role with this configuration until it has stopped; resolves with the exit code. */
type Run = (sources: ConfigSources & { role: string }) => Promise<number>;

/** The options of a server; undefined when it was asked what they are, which it has said then. */
function optionsOf(
  name: string,
  texts: OptionTexts,
  words: readonly string[],
  { stdout }: Surroundings,
): Options | undefined {
  const all = { ...commonOptions, ...texts };
  if (words.some(asksForHelp)) {
    const lines = Object.entries(all).map(([option, text]) => {
      const [value, meaning] = typeof text === "string" ? ["", text] : text;
      return `  ${`-${option} ${value}`.padEnd(24)}${meaning}\n`;
    });
    stdout.write(`usage: ${name} [options]\n\n${lines.join("")}`);
    return undefined;
  }
  const kindOf = (text: OptionTexts[string]): OptionKind => (typeof text === "string" ? "flag" : "value");
  const kinds = Object.entries(all).map(([option, text]) => [option, kindOf(text)] as const);
  const options = parseOptions(words, Object.fromEntries(kinds));
  options.positionals([]);
  return options;
}

/** Keys that all servers have. The data directory is where the log and the admin socket go: beside the volumes. */
function commonKeys(options: Options, role: string, call: Surroundings): Record<string, unknown> {
  // With and without a slash at its end it is the same directory, and so must be those beside it.
  const base = options.text("b", `/var/forest/walb/${role}`).replace(/(?<=.)\/+$/, "");
  const id = options.text("id", hostname());
  const log = options.text("l", "-");
  return {
    role,
    instance: id.replace(/[^A-Za-z0-9._-]/g, "-"),
    nodeId: id,
    host: call.environment.NODE_X_WALB_HOST ?? "0.0.0.0",
    port: options.number("p", 5000),
    baseDir: base,
    dataDir: `${base}.node-x`,
    connectionsMax: options.number("maxconn", 10),
    foregroundMax: options.number("fg", 2),
    socketTimeoutMs: options.number("to", 10) * 1000,
    allowsExec: options.has("allow-exec"),
    keepAlive: options.has("ka")
      ? {
          idleSeconds: options.number("kaidle", 1800),
          intervalSeconds: options.number("kaintvl", 60),
          probes: options.number("kacnt", 10),
        }
      : undefined,
    log:
      log === "-"
        ? { console: "text" }
        : { file: log.startsWith("/") ? log : `${base}/${log}`, console: "off" },
  };
}

function serve(
  name: string,
  role: string,
  config: Record<string, unknown>,
  call: Surroundings,
  run: Run,
): Promise<number> {
  const { environment, workingDirectory } = call;
  const keys = Object.fromEntries(Object.entries(config).filter(([, value]) => value !== undefined));
  return run({
    file: `${name} (command line)`,
    text: JSON.stringify(keys, null, 2),
    role,
    environment,
    sets: [],
    workingDirectory,
  });
}

/** An archive whose disk is not mounted must not begin with an empty directory in its place. */
async function demandDirectory(base: string, { workingDirectory }: Surroundings): Promise<void> {
  const { realWorld } = await import("../../core/seams/world-real.ts");
  const path = resolve(workingDirectory, base);
  if (await realWorld().disk.exists(path)) return;
  throw new NxError("NX_USAGE", `the base directory ${path} is not there`, {
    hint: "mount its disk, or make the directory",
  });
}

export async function runWalbArchive(
  words: readonly string[],
  call: Surroundings,
  run: Run,
): Promise<number> {
  const options = optionsOf("walb-archive", archiveOptions, words, call);
  if (options === undefined) return 0;
  const openMax = options.number("maxopen", 0);
  const keys = commonKeys(options, "archive", call);
  await demandDirectory(String(keys.baseDir), call);
  return serve("walb-archive", "archive", {
    ...keys,
    discard: options.text("discard", "ignore"),
    syncBytes: options.size("fi", 2 ** 30),
    grows: options.has("autoresize"),
    openMax: openMax === 0 ? undefined : openMax,
    volumeGroup: options.text("vg"),
    thinPool: options.text("tp"),
    openVirtualMax: options.number("maxopen-virt", 0),
    applySleepPercent: options.number("apply-sleep-pct", 0),
    keepsOneCold: options.has("keep-one-cold-snap"),
    mergeDiffsMax: options.number("wn", 1000),
    syncCompression: options.text("sync-cmpr", "snappy:0:1"),
  }, call, run); // prettier-ignore
}

export async function runWalbProxy(words: readonly string[], call: Surroundings, run: Run): Promise<number> {
  const options = optionsOf("walb-proxy", proxyOptions, words, call);
  if (options === undefined) return 0;
  return serve("walb-proxy", "proxy", {
    ...commonKeys(options, "proxy", call),
    backgroundMax: options.number("bg", 1),
    sendBytesMax: options.number("wd", 128) * 2 ** 20,
    sendDiffsMax: options.number("wn", 1000),
    retryMinMs: options.number("delay", 1) * 1000,
    retryMaxMs: options.number("maxdelay", 300) * 1000,
    giveUpSeconds: options.number("rto", 1800),
    startsStopped: options.has("stop"),
  }, call, run); // prettier-ignore
}

export async function runWalbStorage(
  words: readonly string[],
  call: Surroundings,
  run: Run,
): Promise<number> {
  const options = optionsOf("walb-storage", storageOptions, words, call);
  if (options === undefined) return 0;
  for (const name of ["archive", "proxy"] as const)
    if (!options.has(name)) throw new NxError("NX_USAGE", `-${name} HOST:PORT is needed`);
  const keys = commonKeys(options, "storage", call);
  return serve("walb-storage", "storage", {
    ...keys,
    // The kernel's devices are named by `init-vol`; ours are made by `node-x walb volume create`, beside what -b has.
    volumesDir: `${String(keys.baseDir)}.volumes`,
    nbdPort: Number(call.environment.NODE_X_WALB_NBD_PORT ?? 10809),
    // The original's devices are this host's only.
    nbdHost: call.environment.NODE_X_WALB_NBD_HOST ?? "127.0.0.1",
    archive: options.text("archive"),
    proxies: options.text("proxy", "").split(","),
    backgroundMax: options.number("bg", 1),
    shipBytesMax: options.number("wl", 128) * 2 ** 20,
    snapshotIntervalMs: options.number("snapintvl", 10) * 1000,
    retryMinMs: options.number("delay", 1) * 1000,
    retryMaxMs: options.number("maxdelay", 300) * 1000,
    fullScanBytesPerSecond: options.size("fst", 0),
    lagIntervalMs: options.number("tsdintvl", 60) * 1000,
    syncCompression: options.text("sync-cmpr", "snappy:0:1"),
  }, call, run); // prettier-ignore
}

const walbcUsage = "usage: walbc -a HOST -p PORT";

/** `walbc -a HOST -p PORT SUBCOMMAND …`: options may stand before the subcommand. */
export async function runWalbc(words: readonly string[], call: Surroundings): Promise<number> {
  const { stdout } = call;
  const at = words.findIndex((word, index) => {
    const before = (words[index - 1] ?? "").replace(/^--?/, "-");
    const kind = (globalOptions as Record<string, OptionKind>)[before.slice(1)];
    return !word.startsWith("-") && !(before.startsWith("-") && kind === "value");
  });
  const name = words[at];
  if (name === undefined || !Object.hasOwn(subcommands, name)) {
    const lines = Object.entries(subcommands).map(
      ([each, { summary }]) => `  ${each.padEnd(24)}${summary}\n`,
    );
    const options = Object.entries(walbcOptions).map(([each, text]) => `  ${each.padEnd(24)}${text}\n`);
    stdout.write(
      `${walbcUsage} <command> [<args>]\n\nCommand list:\n${lines.join("")}\nOptions:\n${options.join("")}`,
    );
    if (name !== undefined) throw wanted("the command", "one of the list", name);
    return words.some(asksForHelp) ? 0 : 1;
  }
  if (words.some(asksForHelp)) {
    const { usage, summary } = subcommands[name] as (typeof subcommands)[string];
    stdout.write(`${`${walbcUsage} ${name} ${usage}`.trim()}\n\n${summary}.\n`);
    return 0;
  }
  return runSubcommand(name, [...words.slice(0, at), ...words.slice(at + 1)], call);
}
