/**
 * Workers that are measured: the compiled executable with a configuration of its own in a directory under dist/bench, asked
 * over their admin sockets.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { until } from "../e2e/executable.ts";
import { benchDirectory } from "./servers.ts";

const executable = join(import.meta.dir, "../../dist/node-x");

export interface WorkerFigures {
  checkpoint: number;
  recordsIn: number;
  keys: Record<string, number>;
  latencyNs: Record<string, number>;
}

export class BenchWorker {
  readonly directory: string;
  #child: Bun.Subprocess;

  private constructor(directory: string) {
    this.directory = directory;
    this.#child = this.#spawn();
  }

  static start(settings: Record<string, unknown>, files: Record<string, string> = {}): BenchWorker {
    mkdirSync(benchDirectory, { recursive: true });
    const directory = mkdtempSync(join(benchDirectory, "worker-"));
    for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
    const common = { dataDir: "data", controlPort: 0, dataPort: 0, log: { console: "off" } };
    writeFileSync(join(directory, "worker.json"), JSON.stringify({ ...common, ...settings }));
    return new BenchWorker(directory);
  }

  #spawn(): Bun.Subprocess {
    const command = [executable, "run", "worker", "-c", "worker.json"];
    return Bun.spawn(command, { cwd: this.directory, stdout: "ignore", stderr: "inherit" });
  }

  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
  }

  restart(): void {
    this.#child = this.#spawn();
  }

  async port(key: string): Promise<number> {
    await this.ready();
    const ports = JSON.parse(readFileSync(join(this.directory, "data/ports.json"), "utf8")) as Record<
      string,
      number
    >;
    return ports[key] as number;
  }

  ready(): Promise<true> {
    return until("the worker", async () => {
      try {
        const { ok } = await fetch("http://x/readyz", { unix: join(this.directory, "data/admin.sock") });
        return ok || undefined;
      } catch {
        return undefined;
      }
    });
  }

  async figures(): Promise<WorkerFigures> {
    const response = await fetch("http://x/stats", { unix: join(this.directory, "data/admin.sock") });
    return ((await response.json()) as { worker: WorkerFigures }).worker;
  }

  /** What it says of its sources and sinks, for a message. */
  async ends(): Promise<string> {
    const { sources, sinks } = (await this.figures()) as unknown as Record<string, unknown>;
    return JSON.stringify({ sources, sinks });
  }

  rssMebibytes(): number {
    const [, pages = "0"] = readFileSync(`/proc/${this.#child.pid}/statm`, "utf8").split(" ");
    return (Number(pages) * 4096) / 2 ** 20;
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.directory, { recursive: true });
  }
}

/** Sends one block again and again over a connection of its own, as fast as it is taken. */
export class Pump {
  #isStopped = false;
  #socket: Bun.Socket<undefined> | undefined;

  static async start(port: number, block: Uint8Array): Promise<Pump> {
    const pump = new Pump();
    let rest = block;
    const push = (socket: Bun.Socket<undefined>) => {
      while (!pump.#isStopped) {
        const taken = socket.write(rest);
        rest = rest.subarray(taken);
        if (rest.byteLength > 0) return;
        rest = block;
      }
    };
    pump.#socket = await Bun.connect<undefined>({
      hostname: "127.0.0.1",
      port,
      socket: { open: push, drain: push, data() {} },
    });
    return pump;
  }

  stop(): void {
    this.#isStopped = true;
    this.#socket?.terminate();
  }
}

/** Frames of market-spread's two streams, to be sent again and again. */
export interface MarketBlocks {
  quotes: Uint8Array;
  orders: Uint8Array;
}

/** Records per second that a worker takes of both streams, over `seconds`, once both flow. */
export async function marketRecordsPerSecond(
  worker: BenchWorker,
  seconds: number,
  { quotes, orders }: MarketBlocks,
): Promise<number> {
  const nbbo = await Pump.start(await worker.port("source.Nbbo"), quotes);
  // Every symbol has its quote before the first order.
  await Bun.sleep(300);
  const order = await Pump.start(await worker.port("source.Orders"), orders);
  await Bun.sleep(500);
  const [before, startMs] = [(await worker.figures()).recordsIn, performance.now()];
  await Bun.sleep(seconds * 1000);
  const after = (await worker.figures()).recordsIn;
  const perSecond = ((after - before) * 1000) / (performance.now() - startMs);
  nbbo.stop();
  order.stop();
  return perSecond;
}
