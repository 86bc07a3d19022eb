/** Framed TCP ends for tests of real processes: one that sends records, one that listens and keeps what comes. */
import { FrameReader, frameOf } from "../../src/streams/wire/frame.ts";

/** Listens on a free port; records are texts. */
export class Receiver implements Disposable {
  readonly records: string[] = [];
  readonly #server;
  readonly #waiting: (() => void)[] = [];

  constructor() {
    this.#server = Bun.listen<FrameReader>({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        open: (socket) => void (socket.data = new FrameReader()),
        data: (socket, chunk) => {
          socket.data.feed(chunk, (bytes, start, end) => {
            this.records.push(Buffer.from(bytes.subarray(start, end)).toString());
            for (const wake of this.#waiting.splice(0)) wake();
          });
        },
      },
    });
  }

  get port(): number {
    return this.#server.port;
  }

  async count(records: number): Promise<string[]> {
    while (this.records.length < records) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return this.records;
  }

  [Symbol.dispose](): void {
    this.#server.stop(true);
  }
}

/** Sends these records over a connection of their own. */
export async function sendRecords(port: number, records: readonly string[]): Promise<void> {
  const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {} } });
  socket.write(Buffer.concat(records.map((record) => frameOf(Buffer.from(record)))));
  socket.end();
}
