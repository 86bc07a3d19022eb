/**
 * A client of etcd over gRPC, as small as a load generator needs it: Put, Range, Txn and Watch, many at once on a few connections.
 * etcd's JSON gateway would translate each request inside the server, which is no fair load.
 */
import { connect, type ClientHttp2Session, type ClientHttp2Stream } from "node:http2";

const CONNECTIONS = 8;
const FRAME_HEADER_BYTES = 5;

/** A protobuf field of bytes. */
function field(number: number, bytes: Uint8Array): Buffer {
  const length: number[] = [];
  for (let rest = bytes.byteLength; ; rest >>>= 7) {
    if (rest < 128) {
      length.push(rest);
      break;
    }
    length.push((rest & 127) | 128);
  }
  return Buffer.concat([Buffer.from([(number << 3) | 2, ...length]), bytes]);
}

/** gRPC's prefix: not compressed, the length. */
function framed(message: Uint8Array): Buffer {
  const frame = Buffer.alloc(FRAME_HEADER_BYTES + message.byteLength);
  frame.writeUInt32BE(message.byteLength, 1);
  frame.set(message, FRAME_HEADER_BYTES);
  return frame;
}

/** A protobuf field of a number. */
function number(field: number, value: number): Buffer {
  const bytes: number[] = [field << 3];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) {
      bytes.push(rest);
      return Buffer.from(bytes);
    }
    bytes.push((rest % 128) + 128);
  }
}

/** The contents of all fields of bytes with this number; those that are numbers go to `onNumber`, others are skipped. */
function fieldsOf(
  message: Buffer,
  wanted: number,
  onNumber?: (field: number, value: number) => void,
): Buffer[] {
  const found: Buffer[] = [];
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = message[at++] as number;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < message.byteLength) {
    const tag = varint();
    const kind = tag & 7;
    if (kind === 0) {
      const value = varint();
      onNumber?.(tag >>> 3, value);
    } else if (kind === 1) at += 8;
    else if (kind === 5) at += 4;
    else {
      const length = varint();
      if (tag >>> 3 === wanted) found.push(message.subarray(at, at + length));
      at += length;
    }
  }
  return found;
}

export class EtcdClient {
  readonly #sessions: ClientHttp2Session[];
  #turn = 0;

  constructor(url: string) {
    this.#sessions = Array.from({ length: CONNECTIONS }, () => {
      const session = connect(url);
      session.on("error", () => undefined);
      return session;
    });
  }

  async put(key: string, value: Uint8Array): Promise<void> {
    await this.#call("Put", Buffer.concat([field(1, Buffer.from(key)), field(2, value)]));
  }

  /** A linearizable read; returns the length of the answer. */
  async get(key: string): Promise<number> {
    return (await this.#call("Range", field(1, Buffer.from(key)))).byteLength;
  }

  /** A linearizable read. `revision`: of the last change, 0: there is none. */
  async read(key: string): Promise<{ value: string; revision: number }> {
    const [found] = fieldsOf(await this.#call("Range", field(1, Buffer.from(key))), 2);
    if (found === undefined) return { value: "", revision: 0 };
    let revision = 0;
    const [value] = fieldsOf(found, 5, (name, content) => {
      if (name === 3) revision = content;
    });
    return { value: String(value ?? ""), revision };
  }

  /** Resolves with whether it was put. */
  async putIfUnchanged(key: string, value: Uint8Array, revision: number): Promise<boolean> {
    const name = field(1, Buffer.from(key));
    // Compare { target MOD, key, mod_revision }, and a PutRequest in a RequestOp.
    const compare = Buffer.concat([number(2, 2), field(3, Buffer.from(key)), number(6, revision)]);
    const put = field(2, Buffer.concat([name, field(2, value)]));
    let isPut = false;
    fieldsOf(
      await this.#call("Txn", Buffer.concat([field(1, compare), field(2, put)])),
      0,
      (name, content) => {
        if (name === 2) isPut = content === 1;
      },
    );
    return isPut;
  }

  /** Calls `onValue` with the value of each later put of a key. Resolves when the watch is made. */
  watch(key: string, onValue: (value: Uint8Array) => void): Promise<void> {
    const session = this.#sessions[this.#turn++ % CONNECTIONS] as ClientHttp2Session;
    const stream = session.request({
      ":method": "POST",
      ":path": "/etcdserverpb.Watch/Watch",
      "content-type": "application/grpc",
      te: "trailers",
    });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    stream.on("error", reject);
    let kept = Buffer.alloc(0);
    stream.on("data", (chunk: Buffer) => {
      kept = Buffer.concat([kept, chunk]);
      while (kept.byteLength >= FRAME_HEADER_BYTES) {
        const end = FRAME_HEADER_BYTES + kept.readUInt32BE(1);
        if (kept.byteLength < end) return;
        // The first answer says that the watch was made.
        resolve();
        for (const event of fieldsOf(kept.subarray(FRAME_HEADER_BYTES, end), 11))
          for (const keyValue of fieldsOf(event, 2))
            for (const value of fieldsOf(keyValue, 5)) onValue(value);
        kept = kept.subarray(end);
      }
    });
    // WatchRequest { create_request { key } }; the stream stays open.
    stream.write(framed(field(1, field(1, Buffer.from(key)))));
    return promise;
  }

  /** Resolves with the answer's message. */
  #call(method: string, message: Uint8Array): Promise<Buffer> {
    const session = this.#sessions[this.#turn++ % CONNECTIONS] as ClientHttp2Session;
    const frame = framed(message);
    return new Promise((resolve, reject) => {
      const stream: ClientHttp2Stream = session.request({
        ":method": "POST",
        ":path": `/etcdserverpb.KV/${method}`,
        "content-type": "application/grpc",
        te: "trailers",
      });
      const chunks: Buffer[] = [];
      let status: unknown;
      stream.on("response", (headers) => (status = headers["grpc-status"] ?? status));
      stream.on("trailers", (headers) => (status = headers["grpc-status"] ?? status));
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      stream.on("error", reject);
      stream.on("end", () => {
        if (status === undefined || Number(status) === 0)
          resolve(Buffer.concat(chunks).subarray(FRAME_HEADER_BYTES));
        else reject(new Error(`etcd answers with gRPC status ${String(status)}`));
      });
      stream.end(frame);
    });
  }

  close(): void {
    for (const session of this.#sessions) session.destroy();
  }
}
