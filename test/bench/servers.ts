/**
 * The servers that are measured: started on a free loopback port in a directory of their own, stopped afterwards.
 *
 * Directories are under dist/bench and not in the temporary directory, which may be memory: a sync must reach a disk.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { until } from "../e2e/executable.ts";
import { freePort } from "../e2e/free-ports.ts";

export const benchDirectory = join(import.meta.dir, "../../dist/bench");
const executable = join(import.meta.dir, "../../dist/node-x");

/** Clock ticks of /proc/<pid>/stat in a second; fixed for Linux on x86-64 and arm64. */
export const CPU_TICKS_PER_SECOND = 100;

export interface BenchServer {
  /** Such as `redis memory`. */
  name: string;
  port: number;
  pid: number;
  /** CPU time of all its threads since its start, in `CPU_TICKS_PER_SECOND`: whole numbers, exact to subtract. */
  cpuTicks(): number;
  rssBytes(): number;
  /** Ends it and removes its directory. */
  stop(): Promise<void>;
}

/** `memory` keeps nothing; `log` answers a write once it is synced. */
export type Durability = "memory" | "log";

export type StartServer = (
  durability: Durability,
  settings?: Record<string, unknown>,
  role?: "dht" | "queue",
) => Promise<BenchServer>;

export const startServers: Record<"redis" | "node-x", StartServer> = {
  redis: startRedis,
  "node-x": startNodeX,
};

function newDirectory(name: string): string {
  mkdirSync(benchDirectory, { recursive: true });
  return mkdtempSync(join(benchDirectory, `${name}-`));
}

/** Debian's redis-server. Of `settings` it knows none. */
async function startRedis(durability: Durability): Promise<BenchServer> {
  const directory = newDirectory("redis");
  const port = await freePort();
  const log =
    durability === "log" ? ["--appendonly", "yes", "--appendfsync", "always"] : ["--appendonly", "no"];
  const command = [
    "redis-server",
    "--port",
    `${port}`,
    "--bind",
    "127.0.0.1",
    "--save",
    "",
    "--dir",
    directory,
  ];
  return await serve(`redis ${durability}`, directory, [...command, ...log], () => port);
}

/** `settings` are keys of the configuration file. */
async function startNodeX(
  durability: Durability,
  settings: Record<string, unknown> = {},
  role: "dht" | "queue" = "dht",
): Promise<BenchServer> {
  const directory = newDirectory("node-x");
  const file = join(directory, `bench.${role}0.json`);
  const config = {
    port: 0,
    respPort: 0,
    dataDir: join(directory, "data"),
    log: { console: "text" },
    durability,
    ...settings,
  };
  writeFileSync(file, JSON.stringify(config));
  return await serve(`node-x ${durability}`, directory, [executable, "run", role, "--config", file], () => {
    const ports: unknown = JSON.parse(readFileSync(join(directory, "data/ports.json"), "utf8"));
    return (ports as { respPort?: number }).respPort;
  });
}

/** A node of any role; `port` is that of its key `port`. */
export async function startNode(role: string, settings: Record<string, unknown>): Promise<BenchServer> {
  const directory = newDirectory(`node-x-${role}`);
  const file = join(directory, `bench.${role}0.json`);
  writeFileSync(
    file,
    JSON.stringify({ port: 0, dataDir: join(directory, "data"), log: { console: "text" }, ...settings }),
  );
  const command = [executable, "run", role, "--config", file];
  const ports = () =>
    JSON.parse(readFileSync(join(directory, "data/ports.json"), "utf8")) as { port?: number };
  return await serve(`node-x ${role}`, directory, command, () => ports().port, isListening);
}

/** Debian's beanstalkd, which syncs its log before it answers each put; undefined when it is not installed. */
export async function startBeanstalkd(): Promise<BenchServer | undefined> {
  const program = Bun.which("beanstalkd");
  if (program === null) return undefined;
  const directory = newDirectory("beanstalkd");
  const port = await freePort();
  const command = [program, "-l", "127.0.0.1", "-p", `${port}`, "-b", directory, "-f", "0", "-z", "1000000"];
  return serve("beanstalkd", directory, command, () => port, isListening);
}

async function isListening(port: number): Promise<boolean> {
  try {
    const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data: () => {} } });
    socket.end();
    return true;
  } catch {
    return false;
  }
}

async function serve(
  name: string,
  directory: string,
  command: string[],
  portOf: () => number | undefined,
  answers = answersPing,
): Promise<BenchServer> {
  const outputFile = join(directory, "output.txt");
  const output = Bun.file(outputFile);
  const child = Bun.spawn(command, { cwd: directory, stdin: "ignore", stdout: output, stderr: output });
  const stop = async () => {
    child.kill("SIGTERM");
    await Promise.race([child.exited, Bun.sleep(10_000)]);
    child.kill("SIGKILL");
    await child.exited;
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    const port = await until(`${name} to serve`, () => {
      if (child.exitCode !== null)
        throw new Error(`${name} ended with ${child.exitCode}:\n${readFileSync(outputFile, "utf8")}`);
      return answeringPort(portOf, answers);
    });
    const { pid } = child;
    return { name, port, pid, cpuTicks: () => cpuTicks(pid), rssBytes: () => rssBytes(pid), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function answersPing(port: number): Promise<boolean> {
  const ping = Bun.spawnSync(["redis-cli", "-h", "127.0.0.1", "-p", `${port}`, "PING"]);
  return ping.stdout.toString().trim() === "PONG";
}

/** The port, once a server answers on it. */
async function answeringPort(
  portOf: () => number | undefined,
  answers: (port: number) => Promise<boolean>,
): Promise<number | undefined> {
  let port: number | undefined;
  try {
    port = portOf();
  } catch {
    // ports.json is not written yet.
  }
  if (port === undefined) return undefined;
  return (await answers(port)) ? port : undefined;
}

function cpuTicks(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The second field is the program's name in parentheses and may itself hold spaces.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return Number(fields[11]) + Number(fields[12]);
}

function rssBytes(pid: number): number {
  const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return Number(kibibytes ?? Number.NaN) * 1024;
}

/** Version of the programs, for the report. */
export function versions(): Record<string, string> {
  const say = (command: string[]) => Bun.spawnSync(command).stdout.toString().trim();
  return {
    "node-x": nodeXVersion(say([executable, "version", "--json"])),
    "redis-server": /v=(\S+)/.exec(say(["redis-server", "--version"]))?.[1] ?? "",
    "redis-benchmark": say(["redis-benchmark", "--version"]).replace(/^redis-benchmark /, ""),
    bun: Bun.version,
  };
}

function nodeXVersion(json: string): string {
  const { version, commit } = JSON.parse(json) as { version: string; commit: string };
  return `${version} (${commit.slice(0, 12)})`;
}
