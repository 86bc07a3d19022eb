/**
 * How long clients wait for their answers while a node dumps its channels: a node in a process of its own that has
 * loaded a dump, clients of the legacy protocol that put and get all the time, and the answers whose waiting overlapped
 * the dump, as the node's log dates it.
 */
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ensureExecutable } from "../../build.ts";
import { requestBytes } from "../../src/channels/wire/legacy/client.ts";
import { keyText } from "../../src/channels/client.ts";
import { Command } from "../../src/channels/wire/legacy/protocol.ts";
import { until } from "../e2e/executable.ts";

const executable = join(import.meta.dir, "../../dist/node-x");
const CONNECTIONS = 16;
/** The dump comes after a random part of this. */
const PERIOD_SECONDS = 6;

interface Answer {
  atMs: number;
  latencyMs: number;
}

export interface DumpLatency {
  answers: number;
  dumpSeconds: number;
  p50Ms: number;
  p999Ms: number;
  maxMs: number;
}

/** When a line of root.log that holds `text` was written, in wall-clock milliseconds. */
function timeOf(log: string, text: string): number | undefined {
  const line = log.split("\n").find((each) => each.includes(text));
  const found = line === undefined ? null : /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d),(\d{3})/.exec(line);
  return found === null ? undefined : Date.parse(`${found[1]}T${found[2]}.${found[3]}`);
}

/** Puts and gets in turn on one connection, each when the one before was answered; answers are noted. */
function client(port: number, index: number, answers: Answer[], isEnding: () => boolean) {
  let turn = index;
  let sentMs = 0;
  let missing = 0;
  const send = (socket: Bun.Socket<undefined>) => {
    const key = keyText(BigInt.asUintN(64, BigInt(turn++) * 0x9e3779b97f4a7c15n));
    const isPut = turn % 2 === 0;
    missing = isPut ? 4 : 5; // a status; a status and a byte
    sentMs = performance.now();
    socket.write(
      isPut
        ? requestBytes(Command.Put, "bench", key, "v".repeat(40))
        : requestBytes(Command.Exists, "bench", key),
    );
  };
  return Bun.connect<undefined>({
    hostname: "127.0.0.1",
    port,
    socket: {
      open: send,
      data(socket, chunk) {
        missing -= chunk.byteLength;
        if (missing > 0) return;
        const nowMs = performance.now();
        answers.push({ atMs: performance.timeOrigin + nowMs, latencyMs: nowMs - sentMs });
        if (isEnding()) socket.end();
        else send(socket);
      },
    },
  });
}

/** Runs a node on `tcm`, a dump of the channel "bench", which is moved and lost. */
export async function measureDumpLatency(tcm: string, output: string): Promise<DumpLatency> {
  await ensureExecutable();
  const directory = mkdtempSync(join(output, "dump-latency-"));
  const dataDir = join(directory, "data");
  mkdirSync(dataDir);
  renameSync(tcm, join(dataDir, "bench.tcm"));
  const file = join(directory, "bench.dht0.json");
  const config = {
    port: 0,
    respPort: 0,
    dataDir,
    durability: "dump",
    dump: { periodSeconds: PERIOD_SECONDS },
  };
  writeFileSync(file, JSON.stringify({ ...config, log: { console: "off" } }));
  const child = Bun.spawn([executable, "run", "dht", "--config", file], {
    cwd: directory,
    stdio: ["ignore", "ignore", "inherit"],
  });
  const readLog = () => readFileSync(join(dataDir, "log/root.log"), "utf8");
  const answers: Answer[] = [];
  let isEnding = false;
  try {
    const port = await until("the node to serve", () => {
      if (child.exitCode !== null) throw new Error(`the node ended with ${child.exitCode}`);
      try {
        return (JSON.parse(readFileSync(join(dataDir, "ports.json"), "utf8")) as { port: number }).port;
      } catch {
        return undefined;
      }
    });
    await Promise.all(
      Array.from({ length: CONNECTIONS }, (_, index) =>
        client(port, index * 1_000_003, answers, () => isEnding),
      ),
    );
    const endMs = await until("a dump to end", () => timeOf(readLog(), "dumped channel 'bench'"));
    isEnding = true;
    const startMs = timeOf(readLog(), "dumping channel 'bench'") ?? Number.NaN;
    const during = answers
      .filter(({ atMs, latencyMs }) => atMs >= startMs && atMs - latencyMs <= endMs)
      .map(({ latencyMs }) => latencyMs)
      .sort((a, b) => a - b);
    const at = (part: number) =>
      during[Math.min(during.length - 1, Math.floor(during.length * part))] ?? Number.NaN;
    return {
      answers: during.length,
      dumpSeconds: (endMs - startMs) / 1000,
      p50Ms: at(0.5),
      p999Ms: at(0.999),
      maxMs: during.at(-1) ?? Number.NaN,
    };
  } finally {
    child.kill("SIGKILL");
    await child.exited;
    rmSync(directory, { recursive: true, force: true });
  }
}
