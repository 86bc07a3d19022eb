/** Queues and their Redis engine without sockets, for tests that compare states: commands in, replies out. */
import { Queues, type QueuesSettings } from "../../../src/native/queues.ts";
import {
  type RespConnection,
  RespEngine,
  respDefaults,
  RespFlag,
  type RespSettings,
} from "../../../src/native/resp.ts";
import { encode } from "../wire/resp/raw.ts";

export const NOW_MS = 1_700_000_000_000;

export class MemoryNode implements Disposable {
  readonly queues: Queues;
  readonly #engine: RespEngine;
  readonly #connection: RespConnection;

  constructor(
    settings: Partial<QueuesSettings> = {},
    isLogging = false,
    respSettings: Partial<RespSettings> = {},
  ) {
    this.queues = new Queues(
      { channelBytes: 4096, sizeBytesMax: 0, dropsOldest: false, channelsMax: 0, pendingMax: 0, ...settings },
      new Uint8Array(16).fill(7),
    );
    this.queues.setLogging(isLogging);
    this.#engine = new RespEngine(this.queues, { ...respDefaults, seed: 7, ...respSettings });
    this.#connection = this.#engine.connect();
  }

  /** Runs commands; returns their replies as one text. */
  run(...commands: string[][]): string {
    let flags = this.#engine.feed(this.#connection, Buffer.concat(commands.map(encode)), NOW_MS);
    let replies = Buffer.from(this.#engine.replies()).toString("latin1");
    // Nobody else brings what a command waits for: its time is over at once.
    while ((flags & RespFlag.Blocked) !== 0) {
      this.#engine.expireBlocked(NOW_MS + 1e6);
      flags = this.#engine.resume(this.#connection, NOW_MS);
      replies += Buffer.from(this.#engine.replies()).toString("latin1");
    }
    return replies;
  }

  takeEffects(): Uint8Array {
    return this.queues.effects.take();
  }

  /** Everything that can be seen of the channels. */
  show(): string {
    const lines: string[] = [];
    for (const { name, kind } of this.queues.channels()) {
      const read =
        kind === "list" ? ["LRANGE", name, "0", "-1"] : ["XINFO", "STREAM", name, "FULL", "COUNT", "0"];
      const text = this.run(read);
      if (text !== "*0\r\n") lines.push(`${name}: ${text}`);
    }
    return lines.sort().join("\n");
  }

  [Symbol.dispose](): void {
    this.#engine.disconnect(this.#connection);
    this.#engine.close();
    this.queues.close();
  }
}
