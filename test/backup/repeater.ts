/** A TCP repeater between two servers, with a delay, a rate and a cut. */
import type { Socket } from "bun";

interface Side {
  other: Socket<Side> | undefined;
  waiting: Buffer[];
}

export class Repeater implements Disposable {
  delayMs = 0;
  /** Bytes a second for each direction of a connection; 0 is no limit. */
  rate = 0;
  /** Connections are cut after this many bytes; Infinity never. */
  cutAfterBytes = Number.POSITIVE_INFINITY;
  isCut = false;
  cuts = 0;
  /** Bytes that went through, in both directions. */
  passed = 0;
  #passed = 0;
  readonly #sockets = new Set<Socket<Side>>();
  readonly #listener;

  constructor(target: number) {
    this.#listener = Bun.listen<Side>({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        open: (socket) => {
          socket.data = { other: undefined, waiting: [] };
          this.#sockets.add(socket);
          if (this.isCut) return socket.terminate();
          void Bun.connect<Side>({
            hostname: "127.0.0.1",
            port: target,
            socket: {
              open: (out) => {
                out.data = { other: socket, waiting: [] };
                this.#sockets.add(out);
                socket.data.other = out;
                for (const chunk of socket.data.waiting.splice(0)) void this.#pass(out, chunk);
              },
              data: (out, chunk) => void this.#pass(out.data.other, Buffer.from(chunk)),
              close: (out) => {
                this.#sockets.delete(out);
                this.#endLater(out.data.other);
              },
              error: () => undefined,
            },
          }).catch(() => socket.terminate());
        },
        data: (socket, chunk) => {
          const { other, waiting } = socket.data;
          if (other === undefined) waiting.push(Buffer.from(chunk));
          else void this.#pass(other, Buffer.from(chunk));
        },
        close: (socket) => {
          this.#sockets.delete(socket);
          this.#endLater(socket.data.other);
        },
        error: () => undefined,
      },
    });
  }

  get port(): number {
    return this.#listener.port;
  }

  readonly #queues = new WeakMap<Socket<Side>, Promise<void>>();

  #pass(to: Socket<Side> | undefined, chunk: Buffer): void {
    if (to === undefined) return;
    const before = this.#queues.get(to) ?? Promise.resolve();
    const pause = this.delayMs + (this.rate === 0 ? 0 : (chunk.byteLength / this.rate) * 1000);
    const next = before.then(async () => {
      if (pause > 0) await Bun.sleep(pause);
      this.#passed += chunk.byteLength;
      this.passed += chunk.byteLength;
      if (this.#passed > this.cutAfterBytes) {
        this.cutAfterBytes = Number.POSITIVE_INFINITY;
        return this.cut();
      }
      for (let at = 0; at < chunk.byteLength;) {
        const taken = to.write(chunk, at);
        if (taken < 0) return;
        at += taken;
        if (at < chunk.byteLength) await Bun.sleep(1);
      }
    });
    this.#queues.set(to, next);
  }

  /** The other side hears of an end behind what is still on its way. */
  #endLater(other: Socket<Side> | undefined): void {
    if (other === undefined) return;
    void (this.#queues.get(other) ?? Promise.resolve()).then(() => other.end());
  }

  /** Counts bytes anew and cuts after `bytes`. */
  cutAfter(bytes: number): void {
    this.#passed = 0;
    this.cutAfterBytes = bytes;
  }

  /** Cuts every connection. */
  cut(): void {
    this.cuts += 1;
    for (const socket of this.#sockets) socket.terminate();
  }

  [Symbol.dispose](): void {
    this.#listener.stop(true);
    this.cut();
  }
}
