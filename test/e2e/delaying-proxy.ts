/**
 * A proxy in front of one address that holds every chunk back for a time of the caller's choosing, in order, in both
 * directions; and that cuts chunks into pieces, or resets connections, when asked to.
 */
import { createConnection, createServer, type Server, type Socket } from "node:net";

export class DelayingProxy implements Disposable {
  /** For each chunk, in milliseconds. */
  delayMs: () => number = () => 0;
  /** How many of a hundred chunks reset their connection instead. */
  resetPercent = 0;
  splits = false;
  resets = 0;
  target = { host: "127.0.0.1", port: 0 };
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  static async open(): Promise<DelayingProxy> {
    const proxy = new DelayingProxy();
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  private constructor() {
    this.#server = createServer((socket) => {
      const other = createConnection(this.target);
      this.#pipe(socket, other);
      this.#pipe(other, socket);
    });
  }

  /** Stands before this address; returns its own. */
  before(address: string): string {
    const [host = "", port] = address.split(":");
    this.target = { host, port: Number(port) };
    return `127.0.0.1:${this.port}`;
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  #pipe(from: Socket, to: Socket): void {
    this.#sockets.add(from);
    let earliestMs = 0;
    from.on("data", (chunk: Buffer) => {
      if (Math.random() * 100 < this.resetPercent) {
        this.resets += 1;
        from.resetAndDestroy();
        return;
      }
      for (const piece of this.splits ? piecesOf(chunk) : [chunk]) {
        const nowMs = performance.now();
        earliestMs = Math.max(earliestMs, nowMs + this.delayMs());
        setTimeout(() => void (to.writable && to.write(piece)), earliestMs - nowMs);
      }
    });
    from.on("error", () => {});
    from.on("close", () => {
      this.#sockets.delete(from);
      to.destroy();
    });
  }

  [Symbol.dispose](): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

/** Some single bytes, then the rest. */
function piecesOf(chunk: Buffer): Buffer[] {
  const singles = Math.min(chunk.byteLength - 1, Math.floor(Math.random() * 4));
  const pieces = Array.from({ length: singles }, (_, at) => chunk.subarray(at, at + 1));
  return [...pieces, chunk.subarray(singles)];
}
