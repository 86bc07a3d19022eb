/**
 * The server's side of the handshake: bytes in, bytes out, and in the end an export that was chosen. No socket here.
 *
 * Invariant: at most one option waits in memory, of at most 64 KiB; a client that sends many is refused. Before TLS, where it
 * is demanded, nothing is said of the exports.
 */
import { NbdTransmission } from "../../native/nbd.ts";
import type { NbdExport } from "./device.ts";
import {
  ALLOCATION_CONTEXT,
  ALLOCATION_ID,
  DATA_BYTES_MAX,
  HandshakeFlag,
  MAGIC,
  NbdAnswer,
  NbdInfo,
  NbdOption,
  OPTION_MAGIC,
  REPLY_MAGIC,
  TransmissionFlag,
} from "./protocol.ts";

const OPTION_BYTES_MAX = 64 << 10;
/** A client needs about five. */
const OPTIONS_MAX = 512;

export interface NegotiationOptions {
  /** By name, in the order in which they are listed. "" is the first one's second name. */
  exports(): ReadonlyMap<string, NbdExport>;
  /** `required`: only STARTTLS is served. `done`: this is the inside of a TLS connection. */
  tls: "none" | "required" | "done";
  send(bytes: Uint8Array): void;
}

export interface Chosen {
  name: string;
  export: NbdExport;
  isStructured: boolean;
  hasAllocationContext: boolean;
  /** What came behind the last option. */
  rest: Uint8Array;
}

/** How a step ended: more bytes are needed, TLS begins, an export was chosen, or the connection is over. */
export type Step =
  { kind: "more" } | { kind: "tls" } | { kind: "chosen"; chosen: Chosen } | { kind: "end"; reason: string };

const MORE: Step = { kind: "more" };
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString("utf8");

function bytesOf(length: number, write: (view: DataView) => void): Uint8Array {
  const bytes = new Uint8Array(length);
  write(new DataView(bytes.buffer));
  return bytes;
}

export function transmissionFlags(target: NbdExport, isStructured: boolean): number {
  const flag = TransmissionFlag;
  let flags = flag.hasFlags | flag.flush;
  if (isStructured) flags |= flag.dontFragment;
  if (target.isShared) flags |= flag.multiConnection;
  return flags | (target.isReadOnly ? flag.readOnly : flag.fua | flag.trim | flag.writeZeroes);
}

export class Negotiation {
  readonly #options: NegotiationOptions;
  #waiting = new Uint8Array(0);
  #hasClientFlags = false;
  #sendsZeroes = true;
  #isStructured = false;
  #contextExport: string | undefined;
  #seen = 0;

  constructor(options: NegotiationOptions) {
    this.#options = options;
  }

  /** What the server says first. */
  begin(): void {
    this.#options.send(
      bytesOf(18, (view) => {
        view.setBigUint64(0, MAGIC);
        view.setBigUint64(8, OPTION_MAGIC);
        view.setUint16(16, HandshakeFlag.fixedNewstyle | HandshakeFlag.noZeroes);
      }),
    );
  }

  /** This is the inside of TLS: greeting and client flags were exchanged before it. */
  resume(): void {
    this.#hasClientFlags = true;
    this.#sendsZeroes = false;
  }

  feed(chunk: Uint8Array): Step {
    const joined = new Uint8Array(this.#waiting.byteLength + chunk.byteLength);
    joined.set(this.#waiting);
    joined.set(chunk, this.#waiting.byteLength);
    this.#waiting = joined;
    for (;;) {
      const step = this.#step();
      if (step === undefined) return MORE;
      if (step.kind !== "more") return step;
    }
  }

  #take(length: number): Uint8Array {
    const bytes = this.#waiting.subarray(0, length);
    this.#waiting = this.#waiting.subarray(length);
    return bytes;
  }

  /** Undefined: bytes are missing. */
  #step(): Step | undefined {
    const waiting = this.#waiting;
    const view = new DataView(waiting.buffer, waiting.byteOffset, waiting.byteLength);
    if (!this.#hasClientFlags) {
      if (waiting.byteLength < 4) return undefined;
      const flags = view.getUint32(0);
      this.#take(4);
      if ((flags & ~(HandshakeFlag.fixedNewstyle | HandshakeFlag.noZeroes)) !== 0)
        return { kind: "end", reason: `unknown client flags 0x${flags.toString(16)}` };
      this.#sendsZeroes = (flags & HandshakeFlag.noZeroes) === 0;
      this.#hasClientFlags = true;
      return MORE;
    }
    if (waiting.byteLength < 16) return undefined;
    if (view.getBigUint64(0) !== OPTION_MAGIC) return { kind: "end", reason: "no option where one was due" };
    const [option, length] = [view.getUint32(8), view.getUint32(12)];
    if (length > OPTION_BYTES_MAX) return { kind: "end", reason: `an option of ${length} bytes` };
    if (waiting.byteLength < 16 + length) return undefined;
    if (++this.#seen > OPTIONS_MAX) return { kind: "end", reason: "too many options" };
    this.#take(16);
    return this.#option(option, this.#take(length).slice());
  }

  #answer(option: number, type: number, data: Uint8Array = new Uint8Array(0)): Step {
    const reply = bytesOf(20 + data.byteLength, (view) => {
      view.setBigUint64(0, REPLY_MAGIC);
      view.setUint32(8, option);
      view.setUint32(12, type);
      view.setUint32(16, data.byteLength);
    });
    reply.set(data, 20);
    this.#options.send(reply);
    return MORE;
  }

  #refuse(option: number, type: number, reason: string): Step {
    return this.#answer(option, type, Buffer.from(reason));
  }

  #option(option: number, data: Uint8Array): Step {
    if (option === NbdOption.abort) {
      this.#answer(option, NbdAnswer.ack);
      return { kind: "end", reason: "the client left" };
    }
    if (option === NbdOption.startTls) return this.#startTls(option, data);
    if (this.#options.tls === "required") {
      if (option === NbdOption.exportName) return { kind: "end", reason: "TLS is required" };
      return this.#refuse(option, NbdAnswer.tlsRequired, "TLS is required: begin with STARTTLS");
    }
    switch (option) {
      case NbdOption.exportName:
        return this.#exportName(text(data));
      case NbdOption.list:
        return this.#list(option, data);
      case NbdOption.structuredReply:
        if (data.byteLength > 0) return this.#answer(option, NbdAnswer.invalid);
        this.#isStructured = true;
        return this.#answer(option, NbdAnswer.ack);
      case NbdOption.info:
      case NbdOption.go:
        return this.#go(option, data);
      case NbdOption.listMetaContext:
      case NbdOption.setMetaContext:
        return this.#metaContext(option, data);
      default:
        return this.#refuse(option, NbdAnswer.unsupported, "this option is not known here");
    }
  }

  #startTls(option: number, data: Uint8Array): Step {
    if (data.byteLength > 0) return this.#answer(option, NbdAnswer.invalid);
    if (this.#options.tls === "done") return this.#refuse(option, NbdAnswer.invalid, "this is TLS already");
    if (this.#options.tls === "none")
      return this.#refuse(option, NbdAnswer.policy, "this server has no certificate");
    // What came behind it was not protected, and could be anybody's.
    if (this.#waiting.byteLength > 0) return { kind: "end", reason: "bytes behind STARTTLS" };
    this.#answer(option, NbdAnswer.ack);
    return { kind: "tls" };
  }

  #find(name: string): [string, NbdExport] | undefined {
    const exports = this.#options.exports();
    if (name === "") return exports.entries().next().value;
    const found = exports.get(name);
    return found === undefined ? undefined : [name, found];
  }

  #list(option: number, data: Uint8Array): Step {
    if (data.byteLength > 0) return this.#answer(option, NbdAnswer.invalid);
    for (const [name, { description }] of this.#options.exports()) {
      const [nameBytes, about] = [Buffer.from(name), Buffer.from(description)];
      const item = new Uint8Array(4 + nameBytes.byteLength + about.byteLength);
      new DataView(item.buffer).setUint32(0, nameBytes.byteLength);
      item.set(nameBytes, 4);
      item.set(about, 4 + nameBytes.byteLength);
      this.#answer(option, NbdAnswer.server, item);
    }
    return this.#answer(option, NbdAnswer.ack);
  }

  /** The oldest way to choose: it has no answer for a name that is not there. */
  #exportName(name: string): Step {
    const found = this.#find(name);
    if (found === undefined) return { kind: "end", reason: `no export "${name}"` };
    this.#options.send(
      bytesOf(this.#sendsZeroes ? 134 : 10, (view) => {
        view.setBigUint64(0, BigInt(found[1].bytes));
        view.setUint16(8, transmissionFlags(found[1], this.#isStructured));
      }),
    );
    return this.#chosen(found);
  }

  #chosen([name, target]: [string, NbdExport]): Step {
    const chosen: Chosen = {
      name,
      export: target,
      isStructured: this.#isStructured,
      hasAllocationContext: this.#contextExport === name,
      rest: this.#waiting.slice(),
    };
    return { kind: "chosen", chosen };
  }

  #go(option: number, data: Uint8Array): Step {
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    const length = data.byteLength < 6 ? Number.POSITIVE_INFINITY : view.getUint32(0);
    if (data.byteLength < 6 + length || data.byteLength !== 6 + length + 2 * view.getUint16(4 + length))
      return this.#answer(option, NbdAnswer.invalid);
    const name = text(data.subarray(4, 4 + length));
    const found = this.#find(name);
    if (found === undefined) return this.#refuse(option, NbdAnswer.unknown, `no export "${name}"`);
    const [foundName, target] = found;
    this.#answer(
      option,
      NbdAnswer.info,
      bytesOf(12, (info) => {
        info.setUint16(0, NbdInfo.export);
        info.setBigUint64(2, BigInt(target.bytes));
        info.setUint16(10, transmissionFlags(target, this.#isStructured));
      }),
    );
    const asked = Array.from({ length: view.getUint16(4 + length) }, (_, index) =>
      view.getUint16(6 + length + 2 * index),
    );
    const textInfo = (type: number, value: string) => {
      const info = new Uint8Array(2 + Buffer.byteLength(value));
      new DataView(info.buffer).setUint16(0, type);
      info.set(Buffer.from(value), 2);
      this.#answer(option, NbdAnswer.info, info);
    };
    if (asked.includes(NbdInfo.name)) textInfo(NbdInfo.name, foundName);
    if (asked.includes(NbdInfo.description)) textInfo(NbdInfo.description, target.description);
    this.#answer(
      option,
      NbdAnswer.info,
      bytesOf(14, (info) => {
        info.setUint16(0, NbdInfo.blockSize);
        info.setUint32(2, target.writeUnit);
        info.setUint32(6, target.preferredUnit);
        info.setUint32(10, DATA_BYTES_MAX);
      }),
    );
    this.#answer(option, NbdAnswer.ack);
    return option === NbdOption.go ? this.#chosen(found) : MORE;
  }

  #metaContext(option: number, data: Uint8Array): Step {
    const isSet = option === NbdOption.setMetaContext;
    const request = readContexts(data);
    if (request === undefined || (isSet && !this.#isStructured))
      return this.#answer(option, NbdAnswer.invalid);
    if (isSet) this.#contextExport = undefined;
    const found = this.#find(request.name);
    if (found === undefined) return this.#refuse(option, NbdAnswer.unknown, `no export "${request.name}"`);
    const isWanted =
      request.queries.some((query) => query === ALLOCATION_CONTEXT || (!isSet && query === "base:")) ||
      (!isSet && request.queries.length === 0);
    if (isWanted) {
      const context = Buffer.from(ALLOCATION_CONTEXT);
      const item = new Uint8Array(4 + context.byteLength);
      new DataView(item.buffer).setUint32(0, isSet ? ALLOCATION_ID : 0);
      item.set(context, 4);
      this.#answer(option, NbdAnswer.metaContext, item);
      if (isSet) this.#contextExport = found[0];
    }
    return this.#answer(option, NbdAnswer.ack);
  }
}

/** u32 length, name, u32 count, then as many of u32 length and text; undefined when it is anything else. */
function readContexts(data: Uint8Array): { name: string; queries: string[] } | undefined {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  let at = 0;
  const number = () => {
    if (at + 4 > data.byteLength) return undefined;
    at += 4;
    return view.getUint32(at - 4);
  };
  const string = () => {
    const length = number();
    if (length === undefined || at + length > data.byteLength) return undefined;
    at += length;
    return text(data.subarray(at - length, at));
  };
  const name = string();
  const count = name === undefined ? undefined : number();
  if (name === undefined || count === undefined) return undefined;
  const queries: string[] = [];
  for (let index = 0; index < count; index++) {
    const query = string();
    if (query === undefined) return undefined;
    queries.push(query);
  }
  return at === data.byteLength ? { name, queries } : undefined;
}

/** The transmission phase that follows a choice. */
export function transmissionOf(
  id: number,
  { export: target, isStructured, hasAllocationContext }: Chosen,
): NbdTransmission {
  return new NbdTransmission({
    id,
    bytes: target.bytes,
    dataMax: DATA_BYTES_MAX,
    writeUnit: target.writeUnit,
    isStructured,
    hasStatus: hasAllocationContext,
    isReadOnly: target.isReadOnly,
  });
}
