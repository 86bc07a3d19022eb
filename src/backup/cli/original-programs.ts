/**
 * The command lines of the original programs: `walb-storage`, `walb-archive`, `walb-proxy`, `walbc`.
 *
 * Each server option becomes a key of the role; what has no meaning here is refused by name rather than passed over.
 */
import { hostname } from "node:os";
import { NxError } from "../../core/errors.ts";
import type { Surroundings } from "../../core/verb.ts";
import { runSubcommand, subcommands } from "./controller.ts";
import { type OptionKind, type Options, parseOptions, wanted } from "./options.ts";

const common: Record<string, OptionKind> = {
  p: "value", l: "value", maxconn: "value", fg: "value", id: "value", to: "value", b: "value",
  ka: "flag", kaidle: "value", kaintvl: "value", kacnt: "value", "allow-exec": "flag",
}; // prettier-ignore

/** Keys that both servers have. The data directory is where the log and the admin socket go: beside the volumes. */
function commonKeys(options: Options, role: string, call: Surroundings): Record<string, unknown> {
  const base = options.text("b", `/var/forest/walb/${role}`);
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

async function serve(
  name: string,
  role: string,
  config: Record<string, unknown>,
  call: Surroundings,
): Promise<number> {
  const { runConfigured } = await import("../../cli/run.ts");
  const { environment, workingDirectory } = call;
  const keys = Object.fromEntries(Object.entries(config).filter(([, value]) => value !== undefined));
  return runConfigured({
    file: `${name} (command line)`,
    text: JSON.stringify(keys, null, 2),
    role,
    environment,
    sets: [],
    workingDirectory,
  });
}

export async function runWalbArchive(words: readonly string[], call: Surroundings): Promise<number> {
  const options = parseOptions(words, {
    ...common, vg: "value", tp: "value", wn: "value", discard: "value", fi: "value", autoresize: "flag",
    "keep-one-cold-snap": "flag", maxopen: "value", "maxopen-virt": "value", "apply-sleep-pct": "value",
    "sync-cmpr": "value", "lock-time-th": "value",
  }); // prettier-ignore
  options.positionals([]);
  const openMax = options.number("maxopen", 0);
  return serve("walb-archive", "archive", {
    ...commonKeys(options, "archive", call),
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
  }, call); // prettier-ignore
}

export async function runWalbProxy(words: readonly string[], call: Surroundings): Promise<number> {
  const options = parseOptions(words, {
    ...common, bg: "value", wd: "value", wn: "value", delay: "value", maxdelay: "value", rto: "value", stop: "flag",
  }); // prettier-ignore
  options.positionals([]);
  return serve("walb-proxy", "proxy", {
    ...commonKeys(options, "proxy", call),
    backgroundMax: options.number("bg", 1),
    sendBytesMax: options.number("wd", 128) * 2 ** 20,
    sendDiffsMax: options.number("wn", 1000),
    retryMinMs: options.number("delay", 1) * 1000,
    retryMaxMs: options.number("maxdelay", 300) * 1000,
    giveUpSeconds: options.number("rto", 1800),
    startsStopped: options.has("stop"),
  }, call); // prettier-ignore
}

export async function runWalbStorage(words: readonly string[], call: Surroundings): Promise<number> {
  const options = parseOptions(words, {
    ...common, archive: "value", proxy: "value", bg: "value", wl: "value", snapintvl: "value", delay: "value",
    maxdelay: "value", fst: "value", tsdintvl: "value", "sync-cmpr": "value",
  }); // prettier-ignore
  options.positionals([]);
  for (const name of ["archive", "proxy"] as const)
    if (!options.has(name)) throw new NxError("NX_USAGE", `-${name} HOST:PORT is needed`);
  const keys = commonKeys(options, "storage", call);
  return serve("walb-storage", "storage", {
    ...keys,
    // The kernel's devices are named by `init-vol`; ours are made by `node-x walb volume create`, beside what -b has.
    volumesDir: `${String(keys.baseDir)}.volumes`,
    nbdPort: Number(call.environment.NODE_X_WALB_NBD_PORT ?? 10809),
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
  }, call); // prettier-ignore
}

/** `walbc -a HOST -p PORT SUBCOMMAND …`: options may stand before the subcommand. */
export async function runWalbc(words: readonly string[], call: Surroundings): Promise<number> {
  const at = words.findIndex((word, index) => {
    const before = words[index - 1] ?? "";
    return !word.startsWith("-") && !/^--?(a|p|to|id|retry)$/.test(before);
  });
  const name = words[at];
  if (name === undefined || !Object.hasOwn(subcommands, name)) {
    const lines = Object.entries(subcommands).map(
      ([each, { summary }]) => `  ${each.padEnd(24)}${summary}\n`,
    );
    call.stdout.write(`usage: walbc -a HOST -p PORT <command> [<args>]\n\nCommand list:\n${lines.join("")}`);
    if (name !== undefined) throw wanted("the command", "one of the list", name);
    return words.some((word) => /^--?h(elp)?$/.test(word)) ? 0 : 1;
  }
  return runSubcommand(name, [...words.slice(0, at), ...words.slice(at + 1)], call);
}
