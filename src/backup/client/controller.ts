/**
 * The controller's side of the protocol: one connection for each question or command.
 *
 * Invariant: a refusal of the server is an error with its first line; nothing is retried here.
 */
import { NxError } from "../../core/errors.ts";
import type { Clock } from "../../core/seams/clock.ts";
import type { Net } from "../../core/seams/net.ts";
import { Codec } from "../../native/blocks.ts";
import { firstLine, openProtocol, readAck } from "../server/server.ts";
import type { Conversation } from "../wire/conversation.ts";
import { Writer } from "../wire/serial.ts";
import { readNext } from "../wire/streams.ts";
import { type Forwarding, readForwarding, writeForwarding } from "../wire/values.ts";

export interface ControllerOptions {
  net: Net;
  clock: Clock;
  host: string;
  port: number;
  /** `-id`: how the server's log calls us. */
  clientId: string;
  timeoutMs: number;
}

/** What a `get` target answers: a number, a text or lines. */
export const getTypes: Record<string, "number" | "text" | "lines"> = {
  state: "text", "host-type": "text", vol: "lines", pid: "number", "handler-stat": "lines", "latest-snap": "lines", uuid: "text",
  "ts-delta": "lines", "is-overflow": "number", "log-usage": "lines", "is-wdiff-send-error": "number", "proxy-diff": "lines",
  diff: "lines", "applicable-diff": "lines", "num-diff": "number", "total-diff-size": "number", "exists-diff": "number",
  "exists-base-image": "number", "num-action": "number", "all-actions": "lines", restored: "lines", cold: "lines",
  restorable: "lines", "archive-uuid": "text", base: "text", "base-all": "lines", "meta-snap": "text", "meta-state": "text",
  "vol-size": "number", progress: "number", "volume-group": "text", thinpool: "text",
}; // prettier-ignore

export class Controller {
  readonly #options: ControllerOptions;

  constructor(options: ControllerOptions) {
    this.#options = options;
  }

  async #run<Result>(
    protocol: string,
    talk: (conversation: Conversation) => Promise<Result>,
  ): Promise<Result> {
    const { net, clock, host, port, clientId, timeoutMs } = this.#options;
    const { conversation } = await openProtocol(
      net,
      { host, port },
      { clientId, protocol },
      { clock, timeoutMs },
    );
    try {
      return await talk(conversation);
    } finally {
      conversation.end();
    }
  }

  async #expect(conversation: Conversation, word: string): Promise<void> {
    const answer = await conversation.reader.text();
    if (answer !== word) throw new NxError("NX_NOT_READY", firstLine(answer));
  }

  get(target: string, ...args: string[]): Promise<bigint | string | string[]> {
    const type = Object.hasOwn(getTypes, target) ? getTypes[target] : undefined;
    if (type === undefined) throw new NxError("NX_USAGE", `c2xGetClient:name not found:${target}`);
    return this.#run("get", async (conversation) => {
      const { reader } = conversation;
      await conversation.send(new Writer().texts([target, ...args]));
      await this.#expect(conversation, "ok");
      const value =
        type === "number" ? await reader.u64() : type === "text" ? await reader.text() : await reader.texts();
      await readAck(reader);
      return value;
    });
  }

  status(volume?: string): Promise<string[]> {
    return this.lines("status", volume === undefined ? [] : [volume]);
  }

  /** A command that takes words and answers lines. */
  lines(protocol: string, words: readonly string[]): Promise<string[]> {
    return this.#run(protocol, async (conversation) => {
      await conversation.send(new Writer().texts(words));
      await this.#expect(conversation, "ok");
      const lines = await conversation.reader.texts();
      await readAck(conversation.reader);
      return lines;
    });
  }

  /** A command that takes a list of words. `answer` is `ok`, or `accept` for one that goes on after it. */
  command(name: string, words: readonly string[], answer: "ok" | "accept"): Promise<void> {
    return this.#run(name, async (conversation) => {
      await conversation.send(new Writer().texts(words));
      await this.#expect(conversation, answer);
    });
  }

  /** `create`, `list`, `resize` or `delete` of a storage's own volumes; our protocol. */
  volumes(words: readonly string[]): Promise<string[]> {
    return this.lines("volume", words);
  }

  /** Takes a snapshot on a storage; resolves with its gid. */
  snapshot(volume: string): Promise<bigint> {
    return this.#run("snapshot", async (conversation) => {
      await conversation.send(new Writer().texts([volume]));
      await this.#expect(conversation, "ok");
      return await conversation.reader.u64();
    });
  }

  version(): Promise<string> {
    return this.#run("version", ({ reader }) => reader.text());
  }

  sleep(seconds: number): Promise<void> {
    return this.#run("sleep", async (conversation) => {
      await conversation.send(new Writer().u64(seconds));
      await this.#expect(conversation, "ok");
    });
  }

  shutdown(isForced: boolean): Promise<void> {
    return this.#run("shutdown", async (conversation) => {
      await conversation.send(new Writer().bool(isForced));
      await this.#expect(conversation, "accept");
    });
  }

  archiveNames(volume: string): Promise<string[]> {
    return this.#run("archive-info", async (conversation) => {
      await conversation.send(new Writer().texts(["list", volume]));
      await this.#expect(conversation, "ok");
      return await conversation.reader.texts();
    });
  }

  forwarding(volume: string, archive: string): Promise<Forwarding> {
    return this.#run("archive-info", async (conversation) => {
      await conversation.send(new Writer().texts(["get", volume]).text(archive));
      await this.#expect(conversation, "ok");
      return await readForwarding(conversation.reader);
    });
  }

  /** `add`, `update` or `delete` of where a proxy forwards. */
  changeForwarding(
    verb: "add" | "update" | "delete",
    volume: string,
    archive: string,
    to?: Forwarding,
  ): Promise<void> {
    return this.#run("archive-info", async (conversation) => {
      const writer = new Writer().texts([verb, volume]).text(archive);
      await conversation.send(to === undefined ? writer : writeForwarding(writer, to));
      await this.#expect(conversation, "ok");
    });
  }

  /** The hash of the image at `gid`. */
  blockHash(words: readonly string[]): Promise<Uint8Array> {
    return this.#run("bhash", async (conversation) => {
      await conversation.send(new Writer().texts(words));
      await this.#expect(conversation, "accept");
      await readNext(conversation.reader);
      await this.#expect(conversation, "ok");
      return await conversation.reader.raw(16);
    });
  }

  /** The image at `gid`, bulk by bulk; each is valid until the next. */
  scan(
    words: readonly string[],
    bulkBytes: number,
    take: (bulk: Uint8Array) => Promise<void>,
  ): Promise<number> {
    return this.#run("virt-full-scan", async (conversation) => {
      const { reader } = conversation;
      const codec = new Codec();
      try {
        await conversation.send(new Writer().texts(words));
        await this.#expect(conversation, "accept");
        let left =
          (await reader.count(Math.floor(Number.MAX_SAFE_INTEGER / 512), "the size of the volume")) * 512;
        const total = left;
        while (await readNext(reader)) {
          const bulk = new Uint8Array(Math.min(bulkBytes, left));
          const size = await reader.count(bulk.byteLength * 2 + 4096, "the size of a bulk");
          if (size > 0 && !codec.decode(2, await reader.view(size), bulk))
            throw new NxError("NX_DATA_CORRUPT", "a bulk cannot be decompressed");
          await take(bulk);
          left -= bulk.byteLength;
        }
        await conversation.send(new Writer().u32(0x626c6177));
        await this.#expect(conversation, "ok");
        return total - left;
      } finally {
        codec.close();
      }
    });
  }
}
