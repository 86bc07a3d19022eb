/**
 * A client of one logfiles node over the legacy swarm protocol, for tools, benchmarks and tests.
 *
 * Requests are sent at once and answered in order. Invariant: an answer that cannot be decoded, or a lost connection,
 * rejects the request that waits for it.
 */
import { NxError } from "../../core/errors.ts";
import type { Net } from "../../core/seams/net.ts";
import { LogfilesCommand as Command } from "../../native/logfiles/engine.ts";
import { decodeBatch, encodeBatch } from "../wire/legacy/batch.ts";
import { arrayField, LegacyNode, requestBytes, StatusError } from "../wire/legacy/client.ts";
import { keyText, Status } from "../wire/legacy/protocol.ts";

export interface LogRecord {
  key: bigint;
  value: Buffer;
}

export type RegexMode = "substring" | "regex" | "regexIgnoringCase";

const regexModes: Record<RegexMode, number> = { substring: 0, regex: 1, regexIgnoringCase: 2 };

/** The bytes of a GetRangeRegex. */
function regexRequest(
  channel: string,
  low: bigint,
  high: bigint,
  mode: number,
  pattern: Uint8Array | string,
) {
  const range = requestBytes(Command.GetRangeRegex, channel, keyText(low), keyText(high));
  return Buffer.concat([range, Buffer.of(mode), arrayField(pattern)]);
}

export class LogfilesClient {
  readonly node: LegacyNode;
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(node: LegacyNode) {
    this.node = node;
  }

  /** Throws NX_CONNECT_FAILED. */
  static async connect(net: Net, port: number, host = "127.0.0.1"): Promise<LogfilesClient> {
    return new LogfilesClient(await LegacyNode.connect(net, { host, port }));
  }

  close(): void {
    this.node.close();
  }

  #request<Answer>(bytes: Uint8Array, read: () => Promise<Answer>): Promise<Answer> {
    this.node.send(bytes);
    const answer = this.#turn.then(async () => {
      const status = (await this.node.read(4)).readInt32LE(0);
      if (status !== Status.Ok) throw new StatusError(status);
      return read();
    });
    this.#turn = answer.catch(() => undefined);
    return answer;
  }

  async #array(): Promise<Buffer> {
    return this.node.read(Number((await this.node.read(8)).readBigUInt64LE(0)));
  }

  put(channel: string, key: bigint, value: Uint8Array | string): Promise<void> {
    return this.#request(requestBytes(Command.Put, channel, keyText(key), value), async () => {});
  }

  putBatch(channel: string, records: readonly { key: bigint; value: Uint8Array }[]): Promise<void> {
    const batch = encodeBatch(records.map(({ key, value }) => ({ key: keyText(key), value })));
    return this.#request(requestBytes(Command.PutBatch, channel, batch), async () => {});
  }

  removeChannel(channel: string): Promise<void> {
    return this.#request(requestBytes(Command.RemoveChannel, channel), async () => {});
  }

  getChannels(): Promise<string[]> {
    return this.#request(requestBytes(Command.GetChannels), async () => {
      const names: string[] = [];
      for (let name = await this.#array(); name.byteLength > 0; name = await this.#array())
        names.push(name.toString("latin1"));
      return names;
    });
  }

  #size(request: Buffer): Promise<{ records: number; bytes: number }> {
    return this.#request(request, async () => {
      await this.#array();
      const rest = await this.node.read(18);
      return { records: Number(rest.readBigUInt64LE(2)), bytes: Number(rest.readBigUInt64LE(10)) };
    });
  }

  getChannelSize(channel: string) {
    return this.#size(requestBytes(Command.GetChannelSize, channel));
  }

  getSize() {
    return this.#size(requestBytes(Command.GetSize));
  }

  // --- records ---------------------------------------------------------------------------------------------------

  /** All fields of an answer in batches. */
  async #fields(): Promise<Buffer[]> {
    const fields: Buffer[] = [];
    for (;;) {
      const array = await this.#array();
      if (array.byteLength === 0) return fields;
      const batch = decodeBatch(array);
      if (batch === undefined)
        throw new NxError("NX_CONNECT_FAILED", "a batch of the answer cannot be decoded");
      for (const field of batch) fields.push(Buffer.from(field));
    }
  }

  #records(request: Buffer): Promise<LogRecord[]> {
    return this.#request(request, async () => {
      const fields = await this.#fields();
      return Array.from({ length: fields.length / 2 }, (_, index) => ({
        key: BigInt(`0x${(fields[2 * index] as Buffer).toString("latin1")}`),
        value: fields[2 * index + 1] as Buffer,
      }));
    });
  }

  getAll(channel: string): Promise<LogRecord[]> {
    return this.#records(requestBytes(Command.GetAll, channel));
  }

  getAllKeys(channel: string): Promise<bigint[]> {
    return this.#request(requestBytes(Command.GetAllKeys, channel), async () =>
      (await this.#fields()).map((field) => BigInt(`0x${field.toString("latin1")}`)),
    );
  }

  getAllFilter(channel: string, filter: string): Promise<LogRecord[]> {
    return this.#records(requestBytes(Command.GetAllFilter, channel, filter));
  }

  getRange(channel: string, low: bigint, high: bigint): Promise<LogRecord[]> {
    return this.#records(requestBytes(Command.GetRange, channel, keyText(low), keyText(high)));
  }

  getRangeFilter(channel: string, low: bigint, high: bigint, filter: string): Promise<LogRecord[]> {
    return this.#records(requestBytes(Command.GetRangeFilter, channel, keyText(low), keyText(high), filter));
  }

  getRangeRegex(channel: string, low: bigint, high: bigint, mode: RegexMode, pattern: Uint8Array | string) {
    return this.#records(regexRequest(channel, low, high, regexModes[mode], pattern));
  }
}
