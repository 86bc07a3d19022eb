/**
 * One run of a demo: the sink and the senders around a cluster, and the verdict at its end.
 *
 * Invariant: the verdict is the validator's, about what the sink has in its files; a process that died unasked, or a wait
 * that took too long, ends the run as failed, whatever the output looks like.
 */
import { join } from "node:path";
import type { World } from "../../core/role.ts";
import { sleep } from "../../core/seams/clock.ts";
import { committedParts } from "../receiver/committed.ts";
import { receive, type SessionReport } from "../receiver/session.ts";
import { senderConfig, type SendingConfig } from "../sender/config.ts";
import { sendOnce, type SendOnceResult } from "../sender/once.ts";
import type { SequenceRules } from "../validate/sequence.ts";
import { DemoCluster } from "./cluster.ts";
import { demoMarket, judgeMarket, type MarketVerdict } from "./market.ts";

export interface DemoOptions {
  world: World;
  root: string;
  network: string;
  /** Between two steps that the original separates by a sleep. */
  pauseMs: number;
  checkpointMs: number;
  metricsHub: string | undefined;
  say(text: string): void;
  interrupted: AbortSignal;
}

/** What differs between demos before their first step. */
export interface DemoSetting {
  /**
   * acked: senders that are acknowledged and a two-phase sink. raw: plain TCP on both sides, as the original's demos have
   * it. logged: plain TCP into an input log, and a two-phase sink.
   */
  protocol: "acked" | "raw" | "logged";
  /** detector: each of 11 keys goes from 1 to `until`. market: so many orders and quotes. */
  app: "detector" | "market-spread";
  until: number;
  /** Words for the application. */
  appArguments?: readonly string[];
}

export interface DemoResult {
  isValid: boolean;
  /** Why it failed, where the validator's verdict does not say it. */
  failure: string | undefined;
  report: SessionReport | undefined;
  /** Of the market. */
  market: MarketVerdict | undefined;
}

export const KEYS = 11;
/** For a whole run. */
const RUN_MS = 600_000;
/** Nothing comes for so long: something stands still, also on a machine under load. */
const STILL_MS = 60_000;
const BODY_BYTES_MAX = 1 << 20;
/** Ends the steps; the verdict says the rest. */
const VIOLATION = new Error("a rule is violated");
const keys = Array.from({ length: KEYS }, (_, index) => `key_${index}`);

export class DemoRun {
  readonly cluster: DemoCluster;
  readonly options: DemoOptions;
  readonly setting: DemoSetting;
  readonly #stop = new AbortController();
  readonly #played = Promise.withResolvers<void>();
  #records = 0;
  #failure: Error | undefined;
  #failed!: (error: Error) => void;

  constructor(options: DemoOptions, setting: DemoSetting) {
    this.options = options;
    this.setting = setting;
    const { world, root, network, checkpointMs, metricsHub, say } = options;
    const address = `${network}.1`;
    this.cluster = new DemoCluster({
      ...{ world, root, network, checkpointMs, metricsHub, say },
      app: setting.app,
      appArguments: setting.appArguments ?? [],
      ...placesOf(setting, address),
      onFailed: (error) => this.#failed(error),
    });
  }

  /** Plays `steps` with a sink listening; judges what it has when they are through. */
  async play(size: number, steps: (run: DemoRun) => Promise<void>): Promise<DemoResult> {
    const { promise: broken, reject } = Promise.withResolvers<never>();
    broken.catch(() => undefined);
    this.#failed = (error) => {
      this.#failure ??= error;
      reject(error);
    };
    const { interrupted } = this.options;
    const interrupt = () => this.#failed(new Error("interrupted"));
    interrupted.addEventListener("abort", interrupt);
    let receiving: Promise<SessionReport> | undefined;
    try {
      const { promise: listening, resolve } = Promise.withResolvers<void>();
      await this.cluster.prepare();
      receiving = this.#receive(resolve);
      receiving.then(
        ({ end }) => {
          // Nothing that follows can mend it.
          if (end === "violation") reject(VIOLATION);
          else if (end === "timeout") this.#failed(new Error("the sink did not get everything in time"));
        },
        (error: Error) => this.#failed(error),
      );
      await Promise.race([listening, broken]);
      await Promise.race([this.#steps(size, steps), broken]);
    } catch (error) {
      if (error !== VIOLATION) this.#failure ??= error as Error;
      this.#stop.abort();
    }
    // The market's end is the senders', not something that the sink could see.
    if (this.setting.app === "market-spread") this.#stop.abort();
    const report = await Promise.race([receiving, broken]).catch(() => undefined);
    this.#stop.abort();
    await receiving?.catch(() => undefined);
    interrupted.removeEventListener("abort", interrupt);
    if (this.#failure !== undefined && !interrupted.aborted) this.options.say(await this.cluster.portrait());
    await this.cluster.stop();
    const market = await this.#judgeMarket();
    const isJudgedValid = market === undefined ? report?.verdict?.isValid === true : market.isValid;
    const isValid = this.#failure === undefined && isJudgedValid;
    return { isValid, failure: this.#failure?.message, report, market };
  }

  async #steps(size: number, steps: (run: DemoRun) => Promise<void>): Promise<void> {
    await this.cluster.start(size);
    await steps(this);
    this.#played.resolve();
    if (this.setting.protocol !== "raw" && this.setting.app === "detector")
      await this.untilReceived(this.setting.until);
    // A sender hears of a commit when the sink may not have: with the next checkpoints it has.
    if (this.setting.app === "market-spread") await this.cluster.untilCheckpoint();
  }

  async #judgeMarket(): Promise<MarketVerdict | undefined> {
    const { app, until } = this.setting;
    const { disk } = this.options.world;
    if (app !== "market-spread" || !(await disk.exists(this.#received))) return undefined;
    return judgeMarket(await committedParts(disk, this.#received), until);
  }

  get #received(): string {
    return join(this.options.root, this.setting.protocol === "raw" ? "received.txt" : "received");
  }

  #receive(onListening: () => void): Promise<SessionReport> {
    const { world } = this.options;
    const isRaw = this.setting.protocol === "raw";
    const rules: SequenceRules | undefined =
      this.setting.app === "detector"
        ? { keys, expected: this.setting.until, first: 1, isExactlyOnce: true }
        : undefined;
    return receive({
      ...{
        world,
        rules,
        onListening,
        timeoutMs: RUN_MS,
        bytesPerSecondMax: 0,
        bodyBytesMax: BODY_BYTES_MAX,
      },
      address: this.cluster.sink,
      protocol: isRaw ? "framed" : "two-phase",
      // Workers without a sink would not be ready.
      notBefore: this.#played.promise,
      out: this.#received,
      onProgress: (records) => {
        this.#records = records;
      },
      onProblem: (text) => this.options.say(`  sink: ${text}`),
      interrupted: this.#stop.signal,
    });
  }

  // --- steps ---------------------------------------------------------------------------------------------------------

  /** Sends (from, until] of each key; resolves when all of it was sent (acked: and acknowledged). */
  async send(
    from: number,
    until: number,
    pace: { batch: number; intervalMs: number },
  ): Promise<SendOnceResult> {
    const isMarket = this.setting.app === "market-spread";
    this.options.say(
      isMarket ? `send ${until} orders and ${until} quotes` : `send (${from}, ${until}] of ${KEYS} keys`,
    );
    return sendOnce({
      world: this.options.world,
      config: isMarket ? this.#marketConfig(until, pace) : this.#sendingConfig(from, until, pace),
      timeoutMs: RUN_MS,
      interrupted: this.#stop.signal,
    });
  }

  /** The same, beside what follows. */
  sendMeanwhile(until: number, pace: { batch: number; intervalMs: number }): Promise<SendOnceResult> {
    const sending = this.send(0, until, pace);
    sending.catch((error: Error) => this.#failed(error));
    return sending;
  }

  #sendingConfig(from: number, until: number, pace: { batch: number; intervalMs: number }): SendingConfig {
    const { host, port } = this.cluster.source;
    return senderConfig.parse({
      ...{ role: "sender", instance: "demo.sender", dataDir: this.options.root, to: [`${host}:${port}`] },
      protocol: this.setting.protocol === "acked" ? "acked" : "raw",
      counters: { keys: KEYS, from, until },
      // Each range of values is a stream of its own.
      streamPrefix: from === 0 ? "" : `${from}-`,
      ...pace,
    });
  }

  #marketConfig(count: number, pace: { batch: number; intervalMs: number }): SendingConfig {
    const { source, quotesSource } = this.cluster;
    return senderConfig.parse({
      ...{ role: "sender", instance: "demo.sender", dataDir: this.options.root, feed: "market" },
      to: [source, quotesSource].map(({ host, port }) => `${host}:${port}`),
      protocol: this.setting.protocol === "acked" ? "acked" : "raw",
      market: { ...demoMarket, orders: count, quotes: count },
      ...pace,
    });
  }

  /** Until the sink has as many windows as `until` of each key make. Throws NX_TIMEOUT when none came for `stillMs`. */
  async untilReceived(until: number, stillMs = STILL_MS): Promise<void> {
    const wanted = until * KEYS;
    while (this.#records < wanted) {
      const before = this.#records;
      const what = `more than ${before} of ${wanted} windows at the sink`;
      await this.cluster.until(what, () => this.#records > before, stillMs);
    }
    this.options.say(`the sink has ${wanted} windows`);
  }

  get records(): number {
    return this.#records;
  }

  pause(): Promise<void> {
    return sleep(this.options.world.clock, this.options.pauseMs);
  }
}

/** The keys `sources` and `sinks` of the workers. */
function placesOf({ app, protocol }: DemoSetting, address: string): { sources: string[]; sinks: string[] } {
  const source = (name: string, port: number) => {
    const kind = protocol === "acked" ? "acked" : "tcp";
    const option = { acked: "?cookie=cookie", raw: "", logged: "?log=true" }[protocol];
    return `${name}=${kind}://${address}:${port}${option}`;
  };
  const sink = (name: string) => `${name}=${protocol === "raw" ? "tcp" : "2pc"}://${address}:5555`;
  return app === "detector"
    ? { sources: [source("Detector", 7000)], sinks: [sink("windows")] }
    : { sources: [source("Orders", 7000), source("Nbbo", 7001)], sinks: [sink("rejects")] };
}
