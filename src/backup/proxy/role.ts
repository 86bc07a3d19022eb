/**
 * The proxy: frees a storage of its log at once, and brings the diffs to every archive in its own time.
 *
 * Each archive has a queue and a sender of its own, so one that is down only makes its own queue longer.
 */
import { resolve } from "node:path";
import type { z } from "zod";
import { makeDurableDirectory } from "../../core/seams/durable-files.ts";
import { defineRole, type RoleContext, type RunningRole } from "../../core/role.ts";
import { sleep } from "../../core/seams/clock.ts";
import type { Net } from "../../core/seams/net.ts";
import { peerNet, secureOptionsOf } from "../server/security.ts";
import { RateLimit } from "../wire/rate-limit.ts";
import { command, controlProtocols, longCommand, volumeOf, wordsAtLeast } from "../server/control.ts";
import { type Protocol, Refusal, WalbServer } from "../server/server.ts";
import { Writer } from "../wire/serial.ts";
import { readForwarding, writeForwarding } from "../wire/values.ts";
import { proxyAbout, type proxyConfig } from "./config.ts";
import { proxyStatus, proxyTargets, type ProxyView, volumeStatus } from "./control.ts";
import { logTransfer } from "./receive.ts";
import { Sender } from "./sender.ts";
import { ProxyVolume, type ProxyWorld } from "./volume.ts";

type Config = z.output<typeof proxyConfig>;

const STOP_TIMEOUT_MS = 60_000;
const STOP_POLL_MS = 50;
const NAME = /^[0-9A-Za-z-]{1,64}$/;

class Proxy implements RunningRole<Config> {
  readonly #context: RoleContext<Config>;
  readonly #volumes = new Map<string, ProxyVolume>();
  readonly #senders = new Map<ProxyVolume, Map<string, Sender>>();
  readonly #server: WalbServer;
  /** The network towards archives. */
  readonly #peers: Net;
  readonly #limit: RateLimit;
  readonly #world: ProxyWorld;
  readonly #directory: string;
  readonly #nodeId: string;
  /** Sends under way, and those that wait for one of them to end. */
  #sending = 0;
  readonly #turns: (() => void)[] = [];

  constructor(context: RoleContext<Config>) {
    this.#context = context;
    const { disk, random, clock, net, log, config } = context;
    this.#directory = resolve(context.dataDir, config.baseDir);
    this.#world = { disk, random, clock };
    this.#nodeId = config.nodeId ?? context.instance;
    const server = () => this.#server;
    const volume = (name: string) =>
      this.#volumes.get(name) ?? new ProxyVolume(this.#world, this.#directory, name);
    const view: ProxyView = {
      nodeId: this.#nodeId,
      baseDir: this.#directory,
      config,
      volumes: this.#volumes,
      volume,
      sender: (each, archive) => this.#senders.get(each)?.get(archive),
      server,
      processId: process.pid,
    };
    const onDiff = (each: ProxyVolume) => {
      for (const sender of this.#senders.get(each)?.values() ?? []) sender.onDiff();
    };
    this.#peers = peerNet(net, clock, config);
    this.#limit = new RateLimit(clock, () => config.sendBytesPerSecond);
    this.#server = new WalbServer({
      ...{ net, clock, log, nodeId: this.#nodeId, host: config.host, port: config.port, tls: context.tls },
      secure: secureOptionsOf(config, clock.nowMs()),
      keepAlive: config.keepAlive,
      connectionsMax: config.connectionsMax,
      foregroundMax: config.foregroundMax,
      timeoutMs: config.socketTimeoutMs,
      protocols: {
        ...controlProtocols({
          clock,
          server,
          allowsExec: config.allowsExec,
          targets: proxyTargets(view),
          status: (name) =>
            name === undefined ? proxyStatus(view) : volumeStatus(view, volume(volumeOf(name))),
          onShutdown: () => process.kill(process.pid, "SIGTERM"),
        }),
        ...this.#commands(volume),
        "wlog-transfer": logTransfer({ server, volume, disk, directory: this.#directory, onDiff }),
      },
    });
  }

  #commands(find: (name: string) => ProxyVolume): Record<string, Protocol> {
    const of = (words: string[], least = 1) => find(volumeOf(wordsAtLeast(words, least)[0]));
    const { log } = this.#context;
    return {
      start: command(async (words) => {
        const volume = of(words);
        if (volume.state !== "Stopped") throw new Refusal(`c2pStartServer:bad state:${volume.shownState}`);
        this.#start(volume);
      }),
      stop: longCommand(async (words) => {
        const volume = of(words);
        if (volume.state !== "Started") throw new Refusal(`c2pStopServer:bad state:${volume.shownState}`);
        const mode = (words[1] ?? "g")[0] ?? "g";
        // A wait for empty queues, which may never end, is given up for a stop that does not wait.
        if (volume.stopState !== "NotStopping" && (mode === "e" || !volume.isEmptying))
          throw new Refusal(`c2pStopServer:stopping:${volume.name}`);
        return () =>
          this.#stop(volume, mode).catch((error: Error) =>
            log.error(`stop failed: ${error.message}`, { volume: volume.name }),
          );
      }),
      "clear-vol": command(async (words) => {
        const volume = of(words);
        if (volume.state !== "Stopped") throw new Refusal(`c2pClearVolServer:bad state:${volume.shownState}`);
        await volume.clear();
        this.#volumes.delete(volume.name);
        this.#senders.delete(volume);
      }),
      kick: command(async ([name, archive]) => {
        for (const volume of name === undefined ? this.#volumes.values() : [find(volumeOf(name))]) {
          if (name !== undefined && volume.state !== "Started")
            throw new Refusal(`c2pKickServer:bad state:${volume.shownState}`);
          for (const [each, sender] of this.#senders.get(volume) ?? [])
            if (archive === undefined || each === archive) sender.kick();
        }
      }),
      resize: command(async (words) => {
        const { parseSize } = await import("../formats/units.ts");
        const size = parseSize(wordsAtLeast(words, 2)[1] as string);
        if (size === undefined) throw new Refusal(`c2pResizeServer:bad size:${words[1]}`);
        await of(words).setBlocks(Math.floor(size / 512));
      }),
      "archive-info": (call) => this.#archiveInfo(call, find),
    };
  }

  async #archiveInfo(call: Parameters<Protocol>[0], find: (name: string) => ProxyVolume): Promise<void> {
    const { reader } = call;
    const [verb = "", name] = await reader.texts();
    const volume = find(volumeOf(name));
    if (verb === "list") {
      await call.answer("ok");
      return await call.send(new Writer().texts([...volume.queues.keys()].sort()));
    }
    const archive = await reader.text();
    if (!NAME.test(archive)) throw new Refusal(`archive-info:bad name:${archive}`);
    if (verb === "get") {
      const { forwarding } = volume.queue(archive);
      await call.answer("ok");
      return await call.send(writeForwarding(new Writer(), forwarding));
    }
    if (!["add", "update", "delete"].includes(verb)) throw new Refusal(`archive-info:bad command:${verb}`);
    const forwarding = verb === "delete" ? undefined : await readForwarding(reader);
    if (volume.state !== "Stopped" && !(verb === "add" && volume.state === "Clear"))
      throw new Refusal(`c2pArchiveInfoServer:bad state:${volume.shownState}`);
    if (verb === "add" && volume.queues.has(archive))
      throw new Refusal(`c2pArchiveInfoServer:already exists:${volume.name}:${archive}`);
    if (verb !== "add") volume.queue(archive);
    if (forwarding === undefined) await volume.removeArchive(archive);
    else await volume.setArchive(archive, forwarding);
    if (volume.state === "Clear") this.#volumes.delete(volume.name);
    else this.#volumes.set(volume.name, volume);
    await call.answer("ok");
  }

  #start(volume: ProxyVolume): void {
    const { clock, log, config } = this.#context;
    const senders = new Map<string, Sender>();
    for (const [name, queue] of volume.queues) {
      const sender = new Sender(
        {
          ...{ net: this.#peers, clock, log, nodeId: this.#nodeId, timeoutMs: config.socketTimeoutMs },
          limit: this.#limit,
          bytesMax: config.sendBytesMax,
          diffsMax: config.sendDiffsMax,
          retryMinMs: config.retryMinMs,
          retryMaxMs: config.retryMaxMs,
          giveUpSeconds: config.giveUpSeconds,
          inTurn: (work) => this.#inTurn(work),
          onProgress: () => undefined,
        },
        volume,
        queue,
      );
      senders.set(name, sender);
      sender.start();
    }
    this.#senders.set(volume, senders);
    volume.state = "Started";
  }

  async #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    while (this.#sending >= this.#context.config.backgroundMax)
      await new Promise<void>((resolve) => this.#turns.push(resolve));
    this.#sending += 1;
    try {
      return await work();
    } finally {
      this.#sending -= 1;
      this.#turns.shift()?.();
    }
  }

  /** `g`: what runs ends first. `f`: it is cut. `e`: every queue is sent first. */
  async #stop(volume: ProxyVolume, mode: string): Promise<void> {
    if (mode === "e" && !(await this.#isEmptied(volume))) return;
    const { clock } = this.#context;
    const isForced = mode === "f";
    volume.stopState = isForced ? "ForceStopping" : "Stopping";
    try {
      if (isForced) volume.cutReceiving?.();
      const deadlineMs = clock.monotonicMs() + STOP_TIMEOUT_MS;
      while (volume.isReceiving) {
        if (clock.monotonicMs() > deadlineMs) throw new Refusal("a log is still being received");
        await sleep(clock, STOP_POLL_MS);
      }
      const senders = this.#senders.get(volume)?.values() ?? [];
      await Promise.all([...senders].map((sender) => sender.stop(isForced)));
      this.#senders.delete(volume);
      volume.state = "Stopped";
    } finally {
      volume.stopState = "NotStopping";
    }
  }

  /** Waits for empty queues, while no log is taken; false when another stop, or the end of the process, came first. */
  async #isEmptied(volume: ProxyVolume): Promise<boolean> {
    const isEmpty = () =>
      !volume.isReceiving && [...volume.queues.values()].every(({ diffs }) => diffs.all.length === 0);
    volume.stopState = "WaitingForEmpty";
    while (volume.isEmptying && !isEmpty()) await sleep(this.#context.clock, STOP_POLL_MS);
    return volume.isEmptying;
  }

  async open(): Promise<void> {
    const { disk, announcePort, config } = this.#context;
    await makeDurableDirectory(disk, this.#directory);
    for (const { name, kind } of await disk.list(this.#directory)) {
      if (kind !== "directory" || !NAME.test(name)) continue;
      const volume = new ProxyVolume(this.#world, this.#directory, name);
      await volume.load();
      if (volume.state === "Clear") continue;
      this.#volumes.set(name, volume);
      if (!config.startsStopped) this.#start(volume);
    }
    announcePort("port", await this.#server.listen());
    if (this.#server.securePort !== undefined) announcePort("securePort", this.#server.securePort);
  }

  notReady(): string[] {
    return [...this.#senders].flatMap(([{ name }, senders]) =>
      [...senders]
        .filter(([, { hasGivenUp }]) => hasGivenUp)
        .map(([archive, { trouble }]) => `${name} is not sent to ${archive} until it is kicked: ${trouble}`),
    );
  }

  throughput() {
    return { total: this.#server.figures.served, unit: "protocol runs" };
  }

  keyFigure(): string {
    const waiting = [...this.#volumes.values()].flatMap(({ queues }) => [...queues.values()]);
    const count = waiting.reduce((sum, { diffs }) => sum + diffs.all.length, 0);
    return `${count} diff${count === 1 ? "" : "s"} waiting`;
  }

  addMetrics(): void {
    const { metrics } = this.#context;
    const sum = (key: "diffs" | "bytes") => () =>
      this.stats()
        .volumes.flatMap(({ archives }) => archives)
        .reduce((total, archive) => total + archive[key], 0);
    metrics.gauge("node_x_proxy_volumes", "Volumes.", () => this.#volumes.size);
    metrics.gauge("node_x_proxy_waiting_diffs", "Diffs that wait for archives.", sum("diffs"));
    metrics.gauge("node_x_proxy_waiting_bytes", "Bytes of those.", sum("bytes"));
    metrics.gauge(
      "node_x_proxy_given_up",
      "Queues whose archive could not be reached for so long that the proxy has given up.",
      () =>
        this.stats().volumes.flatMap(({ archives }) => archives.filter(({ hasGivenUp }) => hasGivenUp))
          .length,
    );
  }

  stats() {
    const volumes = [...this.#volumes.values()].map((volume) => ({
      name: volume.name,
      state: volume.shownState,
      lastReceivedTime: volume.lastReceivedTime,
      archives: [...volume.queues.values()].map(({ name, diffs }) => ({
        name,
        diffs: diffs.all.length,
        bytes: diffs.all.reduce((sum, { dataBytes }) => sum + dataBytes, 0),
        hasGivenUp: this.#senders.get(volume)?.get(name)?.hasGivenUp ?? false,
        trouble: this.#senders.get(volume)?.get(name)?.trouble,
      })),
    }));
    return { ...this.#server.figures, volumes };
  }

  async drain(): Promise<void> {
    this.#server.stopListening();
  }

  async stop(): Promise<void> {
    for (const volume of this.#volumes.values()) volume.stopState = "ForceStopping";
    await this.#server.close();
    for (const senders of this.#senders.values())
      for (const sender of senders.values()) await sender.stop(true);
  }
}

export const proxy = defineRole({
  ...proxyAbout,
  async start(context) {
    const running = new Proxy(context);
    await running.open();
    running.addMetrics();
    return running;
  },
});
