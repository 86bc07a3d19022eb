/**
 * A unix socket for people and scripts: a line `command arguments` in, lines of text out, for as long as the client
 * stays. Nothing is kept, so a crash costs nothing.
 *
 * Invariant: a client can make the process hold one line and the answers that it has not read, both bounded; and it
 * holds one of few places, which it loses when it says nothing for a minute.
 */
import { NxError } from "../errors.ts";
import type { Log } from "../logging/log.ts";
import type { Clock } from "../seams/clock.ts";
import type { Listener, Net, Socket } from "../seams/net.ts";
import { type Admission, ConnectionTable } from "./connections.ts";
import { Outbox } from "./outbox.ts";

export interface TextCommand {
  /** One line for `help`. */
  summary: string;
  /** The answer, lines without the last one's end; an error becomes a line of its own. */
  run(words: readonly string[]): string;
}

export interface TextSocketOptions {
  net: Net;
  clock: Clock;
  log: Log;
  path: string;
  mode: number;
  commands: Readonly<Record<string, TextCommand>>;
}

const LINE_BYTES_MAX = 4096;
/** Longer than the longest list of names. */
const ANSWERS_BYTES_MAX = 16 * 1024 * 1024;
const LIMITS = { connections: 32, idleTimeoutMs: 60_000, stallTimeoutMs: 60_000 };
const NEWLINE = 0x0a;

interface Client {
  socket: Socket;
  outbox: Outbox;
  /** What came of a line so far. */
  line: Uint8Array[];
  lineBytes: number;
  place: Admission<Client> | undefined;
}

export class TextSocket {
  readonly #options: TextSocketOptions;
  #clients: ConnectionTable<Client> | undefined;
  #listener: Pick<Listener, "stop"> | undefined;

  constructor(options: TextSocketOptions) {
    this.#options = options;
  }

  /** Throws NX_LISTEN_IN_USE / NX_LISTEN_DENIED. */
  async listen(): Promise<void> {
    const { net, clock, log, path, mode } = this.#options;
    if (net.listenAtPath === undefined)
      throw new NxError("NX_LISTEN_DENIED", `this network has no unix sockets: ${path}`);
    this.#listener = await net.listenAtPath<Client>({
      path,
      mode,
      handlers: {
        open: (socket) => this.#open(socket),
        data: (_, client, chunk) => this.#read(client, chunk),
        drain: (_, client) => client.outbox.drain(),
        ended: (_, client) => this.#ended(client),
        close: (_, client) => {
          client.outbox.close();
          this.#clients?.remove(client);
        },
      },
    });
    this.#clients = new ConnectionTable({ clock, limits: () => LIMITS });
    log.info("listening", { socket: path });
  }

  /** Removes the file and closes every connection. */
  close(): void {
    this.#listener?.stop();
    this.#listener = undefined;
    this.#clients?.close();
    this.#clients = undefined;
  }

  #open(socket: Socket): Client {
    const outbox = new Outbox(socket, { bytesMax: ANSWERS_BYTES_MAX });
    const client: Client = { socket, outbox, line: [], lineBytes: 0, place: undefined };
    if (this.#clients?.hasRoom() === true) client.place = this.#clients.add(client);
    else this.#refuse(client, `there are ${LIMITS.connections} connections already`);
    return client;
  }

  #read(client: Client, chunk: Uint8Array): void {
    if (client.place === undefined) return;
    this.#clients?.touch(client.place);
    let rest = chunk;
    for (let end = rest.indexOf(NEWLINE); end >= 0; end = rest.indexOf(NEWLINE)) {
      if (!this.#keep(client, rest.subarray(0, end))) return;
      this.#perform(client);
      rest = rest.subarray(end + 1);
    }
    this.#keep(client, rest);
  }

  /** Adds to the line; false when that is too long, and then the client is on its way out. */
  #keep(client: Client, part: Uint8Array): boolean {
    client.lineBytes += part.byteLength;
    if (client.lineBytes > LINE_BYTES_MAX) {
      this.#refuse(client, `a line has at most ${LINE_BYTES_MAX} bytes`);
      return false;
    }
    if (part.byteLength > 0) client.line.push(part.slice());
    return true;
  }

  #perform(client: Client): void {
    const words = Buffer.concat(client.line).toString("utf8").split(/\s+/).filter((word) => word !== ""); // prettier-ignore
    client.line = [];
    client.lineBytes = 0;
    const [name, ...more] = words;
    if (name !== undefined) client.outbox.send(Buffer.from(`${this.#answer(name, more)}\n`));
  }

  #answer(name: string, words: readonly string[]): string {
    const { commands, log } = this.#options;
    if (name === "help" && words.length === 0)
      return Object.entries(commands).map(([command, { summary }]) => `${command}: ${summary}`).join("\n"); // prettier-ignore
    if (!Object.hasOwn(commands, name)) return `Command not found: ${printable(name)}`;
    try {
      return (commands[name] as TextCommand).run(words);
    } catch (error) {
      if (!(error instanceof NxError)) throw error;
      log.warn(`a command at the socket failed: ${error.message}`, { command: name });
      return `Error: ${error.message}${error.hint === undefined ? "" : ` (${error.hint})`}`;
    }
  }

  /** The client only reads from now on: a last line may lack its end. */
  #ended(client: Client): void {
    if (client.place !== undefined) this.#perform(client);
    client.outbox.end();
  }

  #refuse(client: Client, why: string): void {
    client.outbox.send(Buffer.from(`Error: ${why}\n`));
    client.outbox.end();
    this.#clients?.remove(client);
    client.place = undefined;
    client.line = [];
  }
}

/** A client's own bytes must not move the cursor of whoever reads the answer. */
const printable = (text: string) => text.slice(0, 100).replaceAll(/[^\x20-\x7e]/g, "?");
