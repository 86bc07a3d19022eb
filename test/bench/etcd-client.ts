/**
 * A client of etcd over gRPC, as small as a load generator needs it: Put and Range, many at once on a few connections. etcd's
 * JSON gateway would translate each request inside the server, which is no fair load.
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
    return this.#call("Range", field(1, Buffer.from(key)));
  }

  #call(method: string, message: Uint8Array): Promise<number> {
    const session = this.#sessions[this.#turn++ % CONNECTIONS] as ClientHttp2Session;
    const frame = Buffer.alloc(FRAME_HEADER_BYTES + message.byteLength);
    frame.writeUInt32BE(message.byteLength, 1);
    frame.set(message, FRAME_HEADER_BYTES);
    return new Promise((resolve, reject) => {
      const stream: ClientHttp2Stream = session.request({
        ":method": "POST",
        ":path": `/etcdserverpb.KV/${method}`,
        "content-type": "application/grpc",
        te: "trailers",
      });
      let bytes = 0;
      let status: unknown;
      stream.on("response", (headers) => (status = headers["grpc-status"] ?? status));
      stream.on("trailers", (headers) => (status = headers["grpc-status"] ?? status));
      stream.on("data", (chunk: Buffer) => (bytes += chunk.byteLength));
      stream.on("error", reject);
      stream.on("end", () => {
        if (status === undefined || Number(status) === 0) resolve(bytes);
        else reject(new Error(`etcd answers with gRPC status ${String(status)}`));
      });
      stream.end(frame);
    });
  }

  close(): void {
    for (const session of this.#sessions) session.destroy();
  }
}
