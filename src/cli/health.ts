/** `node-x health`: asks a running instance whether it is alive and ready. For scripts, probes and people. */
import { join, resolve } from "node:path";
import { adminGet } from "../core/admin-client.ts";
import { realClock, sleep } from "../core/seams/clock.ts";
import { NxError } from "../core/errors.ts";
import { colorsFor, printJson } from "./print.ts";
import { usageError } from "./strict.ts";
import { defineVerb } from "./verb.ts";

const POLL_PERIOD_MS = 100;

/** What `health` found out. */
interface Health {
  socket: string;
  isAlive: boolean;
  isReady: boolean;
  /** Why it is not ready. */
  reasons: string[];
}

export const healthVerb = defineVerb({
  name: "health",
  summary: "Ask a running instance whether it is alive and ready",
  description:
    "Talks to the instance's admin socket, so it needs no port and no tool besides this executable. " +
    "Exit code 0: ready. 1: running but not ready, with the reasons. 69: nobody answers.",
  args: {
    config: {
      type: "string",
      alias: "c",
      valueHint: "FILE",
      description: "The instance's configuration file",
    },
    set: { type: "string", valueHint: "KEY=VALUE", description: "Set a key, as for `run`; may be repeated" },
    socket: {
      type: "string",
      valueHint: "PATH",
      description: "The admin socket itself, instead of --config",
    },
    "timeout-ms": {
      type: "string",
      valueHint: "MS",
      default: "2000",
      description: "Wait this long for each answer",
    },
    "wait-ms": {
      type: "string",
      valueHint: "MS",
      default: "0",
      description: "Keep asking until ready, at most this long",
    },
    json: { type: "boolean", description: "Print JSON" },
  },
  repeatable: ["set"],
  examples: [
    { command: "node-x health --config configs/dht.json", shows: "Ask the instance of this configuration" },
    {
      command: "node-x health --socket /srv/dht/admin.sock --wait-ms 30000",
      shows: "Wait until it is ready, at most 30 s",
    },
  ],
  async run(call) {
    const { args, stdout, environment, workingDirectory } = call;
    if ((args.config === undefined) === (args.socket === undefined))
      throw usageError("give either --config or --socket", ["health"]);
    const timeoutMs = milliseconds(args["timeout-ms"], "--timeout-ms");
    const waitMs = milliseconds(args["wait-ms"], "--wait-ms");
    const socket =
      args.socket === undefined
        ? await socketOf(args.config ?? "", call.all("set"), environment, workingDirectory)
        : resolve(workingDirectory, args.socket);
    const health = await askUntilReady(socket, timeoutMs, waitMs);
    if (args.json) printJson(stdout, health);
    else if (health.isReady) stdout.write(`${colorsFor(stdout, environment).green("ready")}\n`);
    if (health.isReady) return 0;
    const error = new NxError(
      "NX_NOT_READY",
      `${socket}: not ready: ${health.reasons.join("; ") || "no reason given"}`,
    );
    if (args.json) return error.exit;
    throw error;
  },
});

function milliseconds(text: string, option: string): number {
  if (!/^\d{1,9}$/.test(text))
    throw usageError(`${option}: wanted a number of milliseconds, got "${text}"`, ["health"]);
  return Number(text);
}

async function socketOf(
  file: string,
  sets: string[],
  environment: Record<string, string | undefined>,
  workingDirectory: string,
) {
  const { loadConfig } = await import("../core/config/load.ts");
  const { schemaCatalog } = await import("../roles.ts");
  const { dataDir } = await loadConfig({ file, environment, sets, workingDirectory }, schemaCatalog);
  return join(dataDir, "admin.sock");
}

/** Asks until the instance is ready or the time is over; then the last answer counts. */
async function askUntilReady(socket: string, timeoutMs: number, waitMs: number): Promise<Health> {
  const deadlineMs = realClock.monotonicMs() + waitMs;
  for (;;) {
    const isLast = realClock.monotonicMs() >= deadlineMs;
    try {
      const health = await ask(socket, timeoutMs);
      if (health.isReady || isLast) return health;
    } catch (error) {
      if (isLast) throw error;
    }
    await sleep(realClock, POLL_PERIOD_MS);
  }
}

async function ask(socket: string, timeoutMs: number): Promise<Health> {
  const alive = await adminGet(socket, "/livez", timeoutMs);
  const ready = await adminGet(socket, "/readyz", timeoutMs);
  const isAlive = alive.status === 200;
  const isReady = isAlive && ready.status === 200;
  return { socket, isAlive, isReady, reasons: isReady ? [] : reasonsIn(ready.body) };
}

/** `/readyz` answers `{"ready": false, "reasons": ["…"]}`. */
function reasonsIn(body: string): string[] {
  try {
    const { reasons } = JSON.parse(body) as { reasons?: unknown };
    if (Array.isArray(reasons)) return reasons.map(String);
  } catch {
    // Not JSON: show it as it is.
  }
  return [body.trim()].filter((text) => text !== "");
}
