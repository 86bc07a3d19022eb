/** A replica server in a simulated world, and raw clients of it that send what they like. */
import { silentLog } from "../../../src/core/logging/log.ts";
import type { World } from "../../../src/core/role.ts";
import type { Socket } from "../../../src/core/seams/net.ts";
import { SimCluster, type SimHost } from "../../../src/core/sim/world.ts";
import { ReplicaFiles } from "../../../src/streams/replica/files.ts";
import { ReplicaServer } from "../../../src/streams/replica/server.ts";
import { copyOf } from "../../../src/streams/wire/bytes.ts";
import { FrameReader, frameOf } from "../../../src/streams/wire/frame.ts";

export const PORT = 9999;
export const BASE = "/data/files";

export async function startReplica(host: SimHost): Promise<{ server: ReplicaServer; world: World; fatal: Error[] }> {
  const { world } = host.start();
  const fatal: Error[] = [];
  const limits = { connections: 100, idleTimeoutMs: 0, stallTimeoutMs: 0, outboxBytesMax: 1 << 20, unwrittenBytesMax: 1 << 16 };
  const server = new ReplicaServer({
    ...{ world, log: silentLog(), host: host.address, port: PORT, tls: undefined, statusMs: 1000 },
    files: await ReplicaFiles.open(world.disk, BASE),
    limits: () => limits,
    onFatal: (error) => void fatal.push(error),
  });
  await server.listen();
  return { server, world, fatal };
} // prettier-ignore

/** Speaks the protocol byte by byte, as a foreign client would. */
export class RawReplicaClient {
  readonly #reader = new FrameReader(() => 1 << 24);
  readonly #bodies: Buffer[] = [];
  #socket: Socket | undefined;
  #wake: (() => void) | undefined;
  isClosed = false;

  static async connect(world: World, host: string): Promise<RawReplicaClient> {
    const client = new RawReplicaClient();
    client.#socket = await world.net.connect<undefined>({
      host,
      port: PORT,
      handlers: {
        open: () => undefined,
        data: (_socket, _state, chunk) => {
          client.#reader.feed(chunk, (bytes, start, end) => {
            client.#bodies.push(Buffer.from(copyOf(bytes.subarray(start, end))));
          });
          client.#wake?.();
        },
        drain: () => {},
        close: () => {
          client.isClosed = true;
          client.#wake?.();
        },
      },
    });
    return client;
  }

  write(bytes: Uint8Array | string): void {
    this.#socket?.write(typeof bytes === "string" ? Buffer.from(bytes) : bytes);
  }

  /** The next frame as text; "" when the connection was closed instead. */
  async next(): Promise<string> {
    while (this.#bodies.length === 0 && !this.isClosed)
      await new Promise<void>((resolve) => (this.#wake = resolve));
    return this.#bodies.shift()?.toString("latin1") ?? "";
  }

  ask(request: string): Promise<string> {
    this.write(frameOf(Buffer.from(request)));
    return this.next();
  }

  close(): void {
    this.#socket?.terminate();
  }

  end(): void {
    this.#socket?.end();
  }
}

/** Plays in a cluster with one replica host and one client host. */
export function withReplica(
  seed: number,
  play: (client: RawReplicaClient, more: { connect(): Promise<RawReplicaClient>; cluster: SimCluster; host: SimHost; world: World }) => Promise<void>,
): void {
  const cluster = new SimCluster(seed);
  cluster.scheduler.run(async () => {
    const host = cluster.host("10.0.0.1");
    const { server } = await startReplica(host);
    const { world } = cluster.host("10.0.0.2").start();
    const connect = () => RawReplicaClient.connect(world, host.address);
    await play(await connect(), { connect, cluster, host, world });
    await server.close();
  });
} // prettier-ignore
