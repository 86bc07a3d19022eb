/**
 * Proxies between the replicas of a group, one for each direction of calling, so that a test can cut a replica off from
 * the others while clients still reach it. Bytes of a cut link are dropped with its connections, new ones are refused.
 */
import type { Socket, TCPSocketListener } from "bun";

interface Pair {
  from: number;
  to: number;
  target: { host: string; port: number } | undefined;
  isCut: boolean;
  sockets: Set<Socket<Side>>;
  listener: TCPSocketListener<Side>;
}

interface Side {
  other: Socket<Side> | undefined;
  /** Arrived before the other side was connected. */
  early: Buffer[];
}

export class Partition implements Disposable {
  readonly #pairs: Pair[] = [];

  static async open(replicas: number): Promise<Partition> {
    const partition = new Partition();
    for (let from = 0; from < replicas; from++) {
      for (let to = 0; to < replicas; to++) if (from !== to) partition.#open(from, to);
    }
    return partition;
  }

  addressFor(from: number, to: number, direct: string): string {
    const pair = this.#pairs.find((each) => each.from === from && each.to === to) as Pair;
    const [host = "", port = ""] = direct.split(":");
    pair.target = { host, port: Number(port) };
    return `127.0.0.1:${pair.listener.port}`;
  }

  #open(from: number, to: number): void {
    const forget = (socket: Socket<Side>) => {
      pair.sockets.delete(socket);
      socket.data.other?.end();
    };
    const forward = (socket: Socket<Side>, chunk: Buffer) => {
      // Small messages on loopback: what the kernel does not take is lost with the connection.
      const { other, early } = socket.data;
      if (other === undefined) early.push(Buffer.from(chunk));
      else if (other.write(chunk) < chunk.byteLength) other.terminate();
    };
    const listener = Bun.listen<Side>({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        open(socket) {
          socket.data = { other: undefined, early: [] };
          if (pair.isCut || pair.target === undefined) {
            socket.terminate();
            return;
          }
          pair.sockets.add(socket);
          const { host: hostname, port } = pair.target;
          void Bun.connect<Side>({
            hostname,
            port,
            socket: {
              open(other) {
                other.data = { other: socket, early: [] };
                socket.data.other = other;
                pair.sockets.add(other);
                for (const chunk of socket.data.early.splice(0)) other.write(chunk);
              },
              data: forward,
              close: forget,
              error: forget,
            },
          }).catch(() => socket.terminate());
        },
        data: forward,
        close: forget,
        error: forget,
      },
    });
    const pair: Pair = { from, to, target: undefined, isCut: false, sockets: new Set(), listener };
    this.#pairs.push(pair);
  }

  /** Cuts every link from and to this replica. */
  isolate(replica: number): void {
    this.#cut(({ from, to }) => from === replica || to === replica);
  }

  /** Cuts what this replica says; it hears the others. */
  mute(replica: number): void {
    this.#cut(({ from }) => from === replica);
  }

  #cut(isMeant: (pair: Pair) => boolean): void {
    for (const pair of this.#pairs.filter(isMeant)) {
      pair.isCut = true;
      for (const socket of pair.sockets) socket.terminate();
    }
  }

  heal(): void {
    for (const pair of this.#pairs) pair.isCut = false;
  }

  [Symbol.dispose](): void {
    for (const { listener, sockets } of this.#pairs) {
      listener.stop(true);
      for (const socket of sockets) socket.terminate();
    }
  }
}
