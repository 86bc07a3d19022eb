/**
 * How far the primary archive is behind: asked from time to time (`gather-latest-snap`), told by `get ts-delta`.
 *
 *   client: "ok", list of volumes      server: "accept", for each: VOL, gid, timestamp, lsid; "ok"
 */
import type { Clock, Timer } from "../../core/seams/clock.ts";
import type { Net } from "../../core/seams/net.ts";
import { lagText } from "../server/control.ts";
import { openProtocol } from "../server/server.ts";
import { malformed, Writer } from "../wire/serial.ts";
import type { AddressPort } from "../wire/values.ts";
import type { StorageVolume } from "./volume.ts";

export interface LagOptions {
  net: Net;
  clock: Clock;
  nodeId: string;
  timeoutMs: number;
  archive: AddressPort;
  intervalMs: number;
  volumes(): Iterable<StorageVolume>;
}

interface Answer {
  archive: string;
  gid: bigint;
  timestamp: number;
  ours: { gid: bigint; timestamp: number };
}

const NONE = 0xffff_ffff_ffff_ffffn;

export class Lag {
  readonly #options: LagOptions;
  readonly #answers = new Map<string, Answer>();
  #timer: Timer | undefined;

  constructor(options: LagOptions) {
    this.#options = options;
  }

  start(): void {
    // An archive that is away is noticed where something is to be sent to it.
    this.#timer = this.#options.clock.every(
      this.#options.intervalMs,
      () => void this.ask().catch(() => undefined),
    );
  }

  stop(): void {
    this.#timer?.cancel();
  }

  async ask(): Promise<void> {
    const { net, clock, nodeId, timeoutMs, archive, volumes } = this.#options;
    const targets = [...volumes()].filter(({ steadyState }) => steadyState === "Target");
    if (targets.length === 0) return this.#answers.clear();
    const ids = { clientId: nodeId, protocol: "gather-latest-snap" };
    const { conversation, serverId } = await openProtocol(net, archive, ids, { clock, timeoutMs });
    try {
      const { reader } = conversation;
      await conversation.send(new Writer().text("ok").texts(targets.map(({ name }) => name)));
      if ((await reader.text()) !== "accept") throw malformed("an answer to gather-latest-snap");
      if ((await reader.count(targets.length, "the answers")) !== targets.length)
        throw malformed("too few answers");
      this.#answers.clear();
      for (const { queue, done } of targets) {
        const name = await reader.text();
        const gid = await reader.u64();
        const timestamp = await reader.count(253402300799, "a timestamp");
        await reader.u64();
        if (gid !== NONE)
          this.#answers.set(name, { archive: serverId, gid, timestamp, ours: queue.at(-1) ?? done });
      }
    } finally {
      conversation.end();
    }
  }

  /** Seconds that the archive is behind; undefined: not known. */
  seconds(volume: string): number | undefined {
    const answer = this.#answers.get(volume);
    return answer === undefined ? undefined : Math.max(0, answer.ours.timestamp - answer.timestamp);
  }

  lines(): string[] {
    return [...this.#answers].map(([volume, { archive, gid, timestamp, ours }]) =>
      lagText({ volume, kind: "storage", ours, archive, theirs: { gid, timestamp } }),
    );
  }
}
