/**
 * `bun run soak stream-kill9 [seconds] [seed]` (A25): three workers, two replicas and a two-phase sink as processes; any of
 * them is killed at any moment, worker2 also moves from host to host.
 *
 * Each second the committed output is compared with what one thread would have written. Acknowledgements must go on within
 * half a minute in which everything runs: what a restart takes is the machine's (each has a limit of its own), and the longest
 * pause of all is among the figures, with what was done to the cluster meanwhile. When the time is over nobody is killed any more, and what was sent by then arrives, however
 * long the machine takes for it: at the end every value of every key is there.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Random, seededRandom } from "../../src/core/seams/random.ts";
import { realWorld } from "../../src/core/seams/world-real.ts";
import { DemoChild } from "../../src/streams/demo/child.ts";
import { DemoCluster } from "../../src/streams/demo/cluster.ts";
import { senderConfig } from "../../src/streams/sender/config.ts";
import { sendOnce } from "../../src/streams/sender/once.ts";
import { CommittedPrefix } from "../e2e/committed-prefix.ts";
import type { Soak } from "./run.ts";

const KEYS = 10;
/** Of each key. */
const VALUES_PER_SECOND = 500;
const HOSTS_OF_WORKER2 = [2, 4, 5];
const LOOK_MS = 1000;
/** Senders come for so many values and come back for the next ones: about five seconds of them. */
const VALUES_TOGETHER = 5 * VALUES_PER_SECOND;
/** Without an acknowledgement for so long, while everything runs, the cluster stands still. */
const STILL_MS = 30_000;
/** What is done takes a moment to be felt. */
const STEPS_BEFORE_MS = 2000;

class Run {
  readonly cluster: DemoCluster;
  readonly counts = { kills: 0, moves: 0, replicaKills: 0, sinkKills: 0, looks: 0 };
  readonly committed: CommittedPrefix;
  readonly #root: string;
  readonly #world = realWorld();
  readonly #random: Random;
  #endMs = Number.POSITIVE_INFINITY;
  #sink!: DemoChild;
  #isMoved = false;
  #settled = 0;
  #settledAtMs = performance.now();
  /** Time without an acknowledgement in which everything ran. */
  #stillMs = 0;
  #longestStillMs = 0;
  #longestPause = { ms: 0, endedAtMs: 0 };
  /** What was done, for the longest pause. */
  readonly #steps: { atMs: number; text: string }[] = [];
  #isBeingHarmed = false;
  failure: Error | undefined;
  readonly #over = new AbortController();

  constructor(root: string, seed: number) {
    this.#root = root;
    this.#random = seededRandom(seed);
    mkdirSync(this.#out, { recursive: true });
    this.committed = new CommittedPrefix(this.#out);
    const network = `127.${100 + (process.pid % 100)}.1`;
    this.cluster = new DemoCluster({
      ...{ world: this.#world, root: join(root, "hosts"), network, app: "detector", appArguments: [] },
      sources: [`Detector=acked://${network}.1:7000?cookie=cookie`],
      sinks: [`windows=2pc://${network}.1:5555`],
      ...{ checkpointMs: 500, metricsHub: undefined, say: (text) => this.#note(text) },
      onFailed: (error) => this.#fail(error),
    });
    this.#startSink();
  }

  get #out(): string {
    return join(this.#root, "received");
  }

  #note(text: string): void {
    this.#steps.push({ atMs: performance.now(), text: text.trim() });
  }

  #fail(error: Error): void {
    this.failure ??= error;
    this.#over.abort();
  }

  #startSink(): void {
    const { host, port } = this.cluster.sink;
    const words = [
      "stream",
      "receive",
      "--protocol",
      "two-phase",
      "--out",
      this.#out,
      "-l",
      `${host}:${port}`,
    ];
    this.#sink = new DemoChild("the sink", [...words, "--json"], (error) => this.#fail(error));
  }

  endAfter(seconds: number): void {
    this.#endMs = performance.now() + seconds * 1000;
  }

  get #isTimeOver(): boolean {
    return performance.now() >= this.#endMs;
  }

  /** Sends until the time is over; resolves with the last value of each key when all are acknowledged, or the run has failed. */
  async send(): Promise<number> {
    let until = 0;
    do {
      until += VALUES_TOGETHER;
      await this.#sendUntil(until);
    } while (!this.#isTimeOver && !this.#over.signal.aborted);
    this.#over.abort();
    return until;
  }

  /** Goes on behind what is acknowledged. */
  async #sendUntil(until: number): Promise<void> {
    const { host, port } = this.cluster.source;
    const config = senderConfig.parse({
      ...{ role: "sender", instance: "soak", dataDir: this.#root, to: [`${host}:${port}`] },
      ...{ counters: { keys: KEYS, until }, batch: 5, intervalMs: (5 * 1000) / VALUES_PER_SECOND },
    });
    await sendOnce({
      ...{ world: this.#world, config, timeoutMs: 0, interrupted: this.#over.signal },
      onProgress: ({ figures }) => this.#progress(figures.settled),
    });
  }

  #progress(settled: number): void {
    if (settled <= this.#settled) return;
    const nowMs = performance.now();
    const pauseMs = nowMs - this.#settledAtMs;
    if (pauseMs > this.#longestPause.ms) this.#longestPause = { ms: pauseMs, endedAtMs: nowMs };
    [this.#settled, this.#settledAtMs, this.#stillMs] = [settled, nowMs, 0];
  }

  /** Of the time without an acknowledgement, that in which everything ran. */
  get longestStillSeconds(): number {
    return this.#longestStillMs / 1000;
  }

  get longestPauseSeconds(): number {
    return Math.round(this.#longestPause.ms / 100) / 10;
  }

  /** What was done to the cluster in the longest pause, and just before it; seconds count from its beginning. */
  get longestPauseSteps(): string[] {
    const { ms, endedAtMs } = this.#longestPause;
    const startMs = endedAtMs - ms;
    return this.#steps
      .filter(({ atMs }) => atMs >= startMs - STEPS_BEFORE_MS && atMs <= endedAtMs)
      .map(({ atMs, text }) => `${((atMs - startMs) / 1000).toFixed(1)} s: ${text}`);
  }

  /** Compares the committed output each second. */
  async watch(): Promise<void> {
    while (!this.#over.signal.aborted) {
      await Bun.sleep(LOOK_MS);
      this.look();
      if (!this.#isBeingHarmed) this.#stillMs += LOOK_MS;
      this.#longestStillMs = Math.max(this.#longestStillMs, this.#stillMs);
      if (this.#stillMs > STILL_MS)
        this.#fail(new Error(`nothing was acknowledged for ${STILL_MS / 1000} s, ${this.#settled} are`));
    }
  }

  look(): void {
    try {
      this.committed.look();
      this.counts.looks++;
    } catch (error) {
      this.#fail(error as Error);
    }
  }

  async harm(): Promise<void> {
    for (;;) {
      await Bun.sleep(this.#random.float() * 4000);
      if (this.#isTimeOver || this.#over.signal.aborted) return;
      this.#isBeingHarmed = true;
      const chance = this.#random.integer(12);
      if (chance === 0) await this.#killReplica();
      else if (chance <= 2) await this.#killSink();
      else await this.#killWorker(1 + this.#random.integer(3));
      this.#isBeingHarmed = false;
    }
  }

  async #killReplica(): Promise<void> {
    const replica = 1 + this.#random.integer(2);
    await this.cluster.killReplica(replica);
    await Bun.sleep(this.#random.float() * 1000);
    await this.cluster.startReplica(replica);
    // One acknowledgement is enough for a checkpoint: the next loss waits until both replicas have it again.
    for (const worker of [1, 2, 3]) {
      const isInSync = async () => (await this.cluster.status(worker))?.replicas?.inSync === 2;
      await this.cluster.until(`worker ${worker} to have both replicas`, isInSync);
    }
    this.counts.replicaKills++;
  }

  async #killSink(): Promise<void> {
    this.#note("kill -9 the sink");
    await this.#sink.end("SIGKILL");
    await Bun.sleep(this.#random.float() * 2000);
    this.#note("start the sink");
    this.#startSink();
    await this.cluster.until("the sink to listen", () => this.#isSinkListening());
    this.counts.sinkKills++;
  }

  async #isSinkListening(): Promise<boolean> {
    const { host: hostname, port } = this.cluster.sink;
    try {
      (await Bun.connect({ hostname, port, socket: { data() {} } })).end();
      return true;
    } catch {
      return false;
    }
  }

  async #killWorker(worker: number): Promise<void> {
    const { cluster } = this;
    await cluster.kill(worker);
    this.counts.kills++;
    if (worker === 2 && this.#random.integer(2) === 0) {
      const host = HOSTS_OF_WORKER2[this.#random.integer(3)] as number;
      await cluster.move(2, host, this.#random.integer(2) === 0);
      this.#isMoved = true;
      this.counts.moves++;
    }
    await cluster.restart(worker, worker === 2 && this.#isMoved ? "moved" : "same");
  }

  async end(): Promise<void> {
    this.#over.abort();
    await this.#sink.end("SIGKILL");
    await this.cluster.stop();
  }
}

export const soak: Soak = {
  summary: "kill -9 under a stream's workers, replicas and sink, judged each second: [seconds] [seed]",
  async run([seconds = "600", seed = String(Date.now() % 1_000_000)]) {
    console.log(`stream-kill9: ${seconds} s, seed ${seed}`);
    const root = mkdtempSync(join(tmpdir(), "node-x-soak-"));
    const run = new Run(root, Number(seed));
    try {
      await run.cluster.start(3);
      run.endAfter(Number(seconds));
      const [until] = await Promise.all([run.send(), run.watch(), run.harm()]);
      if (run.failure !== undefined) throw run.failure;
      // The sink hears of a commit right behind the acknowledgement.
      await run.cluster.until("every value at the sink", () => {
        run.look();
        return run.failure !== undefined || run.committed.records === until * KEYS;
      });
      if (run.failure !== undefined) throw run.failure;
    } catch (error) {
      console.log(await run.cluster.portrait());
      throw error;
    } finally {
      await run.end();
    }
    rmSync(root, { recursive: true, force: true });
    const { counts, committed, longestPauseSeconds, longestPauseSteps, longestStillSeconds } = run;
    console.log(`the longest pause:\n  ${longestPauseSteps.join("\n  ")}`);
    const figures = { ...counts, longestPauseSeconds, longestStillSeconds, windows: committed.records };
    return { seconds: Number(seconds), seed: Number(seed), ...figures };
  },
};
