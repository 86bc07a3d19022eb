/**
 * Takes what stream workers tell of their pipelines, in the original's metrics protocol (port 5001).
 *
 * Invariant: nobody is answered, so nothing waits; a connection that sends what is no metrics message is closed and costs the
 * others nothing. Connections and the bytes that each may have under way are bounded.
 */
import type { Log } from "../../core/logging/log.ts";
import type { Clock } from "../../core/seams/clock.ts";
import type { Listener, Net, Socket, TlsMaterial } from "../../core/seams/net.ts";
import {
  FrameReader,
  METRICS_BODY_BYTES_MAX,
  type MetricsEntry,
  readMetrics,
} from "../../streams/client/metrics.ts";

export interface MetricsListenerOptions {
  net: Net;
  clock: Clock;
  log: Log;
  host: string;
  port: number;
  tls: TlsMaterial | undefined;
  connectionsMax: number;
  /** `application` is what follows `metrics:` in the topic. */
  onEntry(application: string, entry: MetricsEntry): void;
}

interface Reporter {
  reader: FrameReader;
  isWelcome: boolean;
}

const TOPIC = "metrics:";

export class MetricsListener {
  readonly #options: MetricsListenerOptions;
  readonly #sockets = new Set<Socket>();
  #listener: Listener | undefined;
  #garbled = 0;
  #entries = 0;

  constructor(options: MetricsListenerOptions) {
    this.#options = options;
  }

  get figures() {
    return { connections: this.#sockets.size, entries: this.#entries, garbled: this.#garbled };
  }

  /** The port that it listens on. */
  async listen(): Promise<number> {
    const { net, host, port, tls } = this.#options;
    this.#listener = await net.listen<Reporter>({
      host,
      port,
      ...(tls !== undefined && { tls }),
      handlers: {
        open: (socket) => this.#open(socket),
        data: (socket, reporter, chunk) => this.#data(socket, reporter, chunk),
        drain: () => undefined,
        close: (socket) => void this.#sockets.delete(socket),
      },
    });
    return this.#listener.port;
  }

  #open(socket: Socket): Reporter {
    const isWelcome = this.#sockets.size < this.#options.connectionsMax;
    if (isWelcome) this.#sockets.add(socket);
    else socket.terminate();
    return { reader: new FrameReader(() => METRICS_BODY_BYTES_MAX), isWelcome };
  }

  #data(socket: Socket, { reader, isWelcome }: Reporter, chunk: Uint8Array): void {
    if (!isWelcome) return;
    try {
      reader.feed(chunk, (bytes, start, end) => this.#message(bytes, start, end));
    } catch (error) {
      this.#garbled += 1;
      const reason = (error as Error).message;
      this.#options.log.warn(`a reporter is closed: ${reason}`, { client: socket.remoteAddress });
      socket.terminate();
    }
  }

  #message(bytes: Uint8Array, start: number, end: number): void {
    const message = readMetrics(bytes, start, end);
    if (message.type !== "payload" || message.event !== "metrics") return;
    const { topic, entry } = message;
    this.#entries += 1;
    this.#options.onEntry(topic.startsWith(TOPIC) ? topic.slice(TOPIC.length) : topic, entry);
  }

  close(): void {
    this.#listener?.stop();
    for (const socket of this.#sockets) socket.terminate();
  }
}
