/**
 * An NBD client, one request at a time: for the demonstration, and for tests.
 *
 * Invariant: a connection that is silent for too long, or answers anything else than what was asked, is an error.
 */
import { NxError } from "../../core/errors.ts";
import type { Clock } from "../../core/seams/clock.ts";
import type { Net } from "../../core/seams/net.ts";
import { NbdCommand, NbdRequestFlag } from "../../native/nbd.ts";
import { Conversation } from "../wire/conversation.ts";
import { HandshakeFlag, MAGIC, NbdOption, OPTION_MAGIC } from "./protocol.ts";

const REQUEST_MAGIC = 0x25609513;
const REPLY_MAGIC = 0x67446698;
const REQUEST_BYTES = 28;
const READ_BYTES = 1 << 20;
const TIMEOUT_MS = 30_000;

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

export interface NbdAddress {
  host: string;
  port: number;
  name: string;
}

export class NbdClient implements AsyncDisposable {
  readonly #conversation: Conversation;
  readonly bytes: number;
  #cookie = 0n;

  private constructor(conversation: Conversation, bytes: number) {
    this.#conversation = conversation;
    this.bytes = bytes;
  }

  static async connect(
    { net, clock }: { net: Net; clock: Clock },
    { host, port, name }: NbdAddress,
  ): Promise<NbdClient> {
    const conversation = await Conversation.connect(net, host, port, { clock, timeoutMs: TIMEOUT_MS });
    const greeting = viewOf(await conversation.take(18));
    if (greeting.getBigUint64(0) !== MAGIC || greeting.getBigUint64(8) !== OPTION_MAGIC)
      throw new NxError("NX_CONNECT_FAILED", `${host}:${port} does not speak NBD`);
    const nameBytes = Buffer.from(name);
    const option = new Uint8Array(20 + nameBytes.byteLength);
    const view = viewOf(option);
    view.setUint32(0, HandshakeFlag.fixedNewstyle | HandshakeFlag.noZeroes);
    view.setBigUint64(4, OPTION_MAGIC);
    view.setUint32(12, NbdOption.exportName);
    view.setUint32(16, nameBytes.byteLength);
    option.set(nameBytes, 20);
    await conversation.send(option);
    const answer = viewOf(await conversation.take(10));
    return new NbdClient(conversation, Number(answer.getBigUint64(0)));
  }

  /** Throws NX_DISK_FAILED with the server's error number. */
  async request(
    type: number,
    offset: number,
    length: number,
    data?: Uint8Array,
    flags = 0,
  ): Promise<Uint8Array> {
    const request = new Uint8Array(REQUEST_BYTES + (data?.byteLength ?? 0));
    const view = viewOf(request);
    const cookie = ++this.#cookie;
    view.setUint32(0, REQUEST_MAGIC);
    view.setUint16(4, flags);
    view.setUint16(6, type);
    view.setBigUint64(8, cookie);
    view.setBigUint64(16, BigInt(offset));
    view.setUint32(24, length);
    if (data !== undefined) request.set(data, REQUEST_BYTES);
    await this.#conversation.send(request);
    const reply = viewOf(await this.#conversation.take(16));
    const error = reply.getUint32(4);
    if (reply.getUint32(0) !== REPLY_MAGIC || reply.getBigUint64(8) !== cookie)
      throw new NxError("NX_DATA_CORRUPT", "the NBD server answers something else");
    if (error !== 0) throw new NxError("NX_DISK_FAILED", `NBD error ${error} at byte ${offset}`);
    return type === NbdCommand.read ? (await this.#conversation.take(length)).slice() : new Uint8Array(0);
  }

  read(offset: number, length: number): Promise<Uint8Array> {
    return this.request(NbdCommand.read, offset, length);
  }

  async readAll(): Promise<Buffer> {
    const image = Buffer.alloc(this.bytes);
    for (let offset = 0; offset < this.bytes; offset += READ_BYTES)
      image.set(await this.read(offset, Math.min(READ_BYTES, this.bytes - offset)), offset);
    return image;
  }

  async write(data: Uint8Array, offset: number, isDurable = false): Promise<void> {
    await this.request(NbdCommand.write, offset, data.byteLength, data, isDurable ? NbdRequestFlag.fua : 0);
  }

  async writeAll(image: Uint8Array): Promise<void> {
    for (let offset = 0; offset < image.byteLength; offset += READ_BYTES)
      await this.write(image.subarray(offset, offset + READ_BYTES), offset);
    await this.flush();
  }

  async flush(): Promise<void> {
    await this.request(NbdCommand.flush, 0, 0);
  }

  async trim(offset: number, length: number): Promise<void> {
    await this.request(NbdCommand.trim, offset, length);
  }

  async zero(offset: number, length: number): Promise<void> {
    await this.request(NbdCommand.writeZeroes, offset, length);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#conversation.terminate("done");
  }
}
