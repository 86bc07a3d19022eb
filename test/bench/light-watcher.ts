/**
 * The cheapest client that still is one, for measuring a frontend and not its clients: it watches one key, looks at no more of a
 * message than its type and timestamp, and acknowledges.
 */
import { decodeServerMessage, encodeClientMessage } from "../../src/reactive/client-wire/codec.ts";
import { serverCodes } from "../../src/reactive/client-wire/from-frontend.ts";
import { CONNECT_PATH } from "../../src/reactive/client-wire/messages.ts";

export class LightWatcher {
  /** Called with the timestamp of each round of runs. */
  onRuns: (at: number) => void = () => {};
  rounds = 0;
  readonly #socket: WebSocket;

  /** Resolves when the first run has come. */
  static async open(port: number, key: string): Promise<LightWatcher> {
    const watcher = new LightWatcher(port, key);
    await watcher.#first.promise;
    return watcher;
  }

  readonly #first = Promise.withResolvers<void>();

  private constructor(port: number, key: string) {
    this.#socket = new WebSocket(`ws://127.0.0.1:${port}${CONNECT_PATH}`);
    this.#socket.binaryType = "arraybuffer";
    const send = (message: Parameters<typeof encodeClientMessage>[0]) =>
      this.#socket.send(encodeClientMessage(message));
    this.#socket.addEventListener("open", () => {
      send({ type: "hello", protocols: [1], client: 1, token: "", unackedMax: 2 });
      const keys = [new TextEncoder().encode(key)];
      send({ type: "watch", request: 1, watch: 1, at: 0, delayMs: 0, keys, prefixes: [] });
    });
    this.#socket.addEventListener("message", ({ data }) => {
      const bytes = new Uint8Array(data as ArrayBuffer);
      if (bytes[0] === serverCodes.failed)
        this.#first.reject(new Error(JSON.stringify(decodeServerMessage(bytes))));
      if (bytes[0] !== serverCodes.runs) return;
      const view = new DataView(bytes.buffer, bytes.byteOffset);
      const at = view.getUint32(1, true) + view.getUint32(5, true) * 2 ** 32;
      this.rounds += 1;
      send({ type: "ack", at });
      this.#first.resolve();
      this.onRuns(at);
    });
    this.#socket.addEventListener("close", () => this.#first.reject(new Error("the connection was closed")));
  }

  close(): void {
    this.#socket.close();
  }
}
