/**
 * The file-replica server: connections on one side, files on the other (wire/replica.ts draws what they say).
 *
 * Invariant: the requests of a connection are answered in their order, each after it was carried out. A request that
 * cannot be read, or an append that cannot begin, is answered `ERROR: why` and ends the connection, as the original's
 * clients expect.
 */
import type { World } from "../../core/role.ts";
import type { Log } from "../../core/logging/log.ts";
import type { Listener, Socket, TlsMaterial } from "../../core/seams/net.ts";
import { ConnectionTable, type Admission, type ConnectionLimits } from "../../core/sockets/connections.ts";
import { Outbox } from "../../core/sockets/outbox.ts";
import { copyOf, WireError } from "../wire/bytes.ts";
import { FrameReader, frameOf } from "../wire/frame.ts";
import {
  ERROR_PREFIX,
  listFrame,
  OK,
  readReplicaRequest,
  REQUEST_BYTES_MAX,
  statusFrame,
  textFrame,
  type ReplicaRequest,
} from "../wire/replica.ts";
import type { AppendFile } from "../append-file.ts";
import { AppendSession } from "./append-session.ts";
import type { ReplicaFiles } from "./files.ts";

export interface ReplicaServerOptions {
  world: Pick<World, "net" | "clock">;
  log: Log;
  host: string;
  port: number;
  tls: TlsMaterial | undefined;
  files: ReplicaFiles;
  statusMs: number;
  limits(): ConnectionLimits & { outboxBytesMax: number; unwrittenBytesMax: number };
  /** A file's bytes are in doubt: the process must stop. */
  onFatal(error: Error): void;
}

interface Append {
  session: AppendSession;
  directory: string;
  name: string;
  file: AppendFile;
}

interface Member {
  readonly socket: Socket;
  readonly outbox: Outbox;
  readonly reader: FrameReader;
  admission: Admission<Member> | undefined;
  directory: string | undefined;
  append: Append | undefined;
  /** Requests are carried out one behind the other. */
  work: Promise<void>;
  /** Bytes that came behind a request to append, before it was answered. */
  early: Uint8Array[];
  /** A request to append is under way: what follows is not a request. */
  isAppendAsked: boolean;
  isClosed: boolean;
}

export class ReplicaServer {
  readonly #options: ReplicaServerOptions;
  readonly #table: ConnectionTable<Member>;
  readonly #endings = new Set<Promise<void>>();
  #listener: Listener | undefined;
  readonly figures = { requests: 0, refused: 0, appendedBytes: 0, syncedAppends: 0 };

  constructor(options: ReplicaServerOptions) {
    this.#options = options;
    const { clock } = options.world;
    this.#table = new ConnectionTable<Member>({ clock, limits: () => options.limits() });
  }

  get connections(): number {
    return this.#table.size;
  }

  async listen(): Promise<number> {
    const { world, host, port, tls } = this.#options;
    this.#listener = await world.net.listen<Member | undefined>({
      host,
      port,
      ...(tls !== undefined && { tls }),
      handlers: {
        open: (socket) => this.#open(socket),
        data: (_socket, member, chunk) => this.#data(member, chunk),
        drain: (_socket, member) => member?.outbox.drain(),
        close: (_socket, member) => this.#closed(member),
      },
    });
    return this.#listener.port;
  }

  #open(socket: Socket): Member | undefined {
    if (!this.#table.hasRoom()) {
      socket.terminate();
      return undefined;
    }
    const member: Member = {
      socket,
      outbox: new Outbox(socket, { bytesMax: this.#options.limits().outboxBytesMax }),
      reader: new FrameReader(() => REQUEST_BYTES_MAX),
      admission: undefined,
      directory: undefined,
      append: undefined,
      work: Promise.resolve(),
      early: [],
      isAppendAsked: false,
      isClosed: false,
    };
    member.admission = this.#table.add(member);
    return member;
  }

  #data(member: Member | undefined, chunk: Uint8Array): void {
    if (member?.admission === undefined || member.isClosed) return;
    this.#table.touch(member.admission);
    try {
      if (member.append !== undefined) this.#receive(member.append, chunk);
      else if (member.isAppendAsked) member.early.push(copyOf(chunk));
      else this.#requests(member, chunk);
    } catch (error) {
      this.#refuse(member, error);
    }
  }

  #receive({ session }: Append, chunk: Uint8Array): void {
    this.figures.appendedBytes += chunk.byteLength;
    session.receive(chunk);
  }

  /** Whole requests of a chunk; what follows a request to append belongs to the append. */
  #requests(member: Member, chunk: Uint8Array): void {
    const used = member.reader.feed(chunk, (bytes, start, end) => {
      const request = readReplicaRequest(copyOf(bytes.subarray(start, end)));
      this.figures.requests++;
      member.isAppendAsked = request.command === "a" || request.command === "A";
      member.work = member.work
        .then(() => (member.isClosed ? undefined : this.#carryOut(member, request)))
        .catch((error: unknown) => this.#refuse(member, error));
      return !member.isAppendAsked;
    });
    if (used < chunk.byteLength) member.early.push(copyOf(chunk.subarray(used)));
  }

  async #carryOut(member: Member, request: ReplicaRequest): Promise<void> {
    const { files } = this.#options;
    if (request.command === "u" || request.command === "V") {
      member.directory = await files.select(request.directory, request.command === "u");
      return this.#send(member, textFrame(OK));
    }
    const { directory } = member;
    if (directory === undefined) throw new WireError("select a directory first");
    switch (request.command) {
      case "l":
        return this.#send(member, listFrame(await files.list(directory)));
      case "g":
        return this.#send(
          member,
          frameOf(await files.read(directory, request.name, request.offset, request.count)),
        );
      case "a":
      case "A":
        return this.#append(member, directory, request);
      case "s": {
        const bytes = await files.sync(directory, request.name);
        return this.#send(member, statusFrame({ writtenBytes: bytes, syncedBytes: bytes }));
      }
      case "d":
        await files.remove(directory, request.name);
        return this.#send(member, textFrame(OK));
      case "T":
        await files.truncate(directory, request.name, request.length);
        return this.#send(member, textFrame(OK));
      case "C": {
        const crc = await files.checksum(directory, request.name, request.length);
        return this.#send(member, textFrame(crc.toString(16).padStart(8, "0")));
      }
    }
  }

  async #append(
    member: Member,
    directory: string,
    { command, name, offset }: Extract<ReplicaRequest, { command: "a" | "A" }>,
  ): Promise<void> {
    const { files, statusMs, limits, onFatal, world } = this.#options;
    const file = await files.append(directory, name, offset);
    if (member.isClosed) return files.release(directory, name, file);
    const session = new AppendSession({
      clock: world.clock,
      file,
      isChecked: command === "A",
      statusMs,
      unwrittenBytesMax: limits().unwrittenBytesMax,
      send: (frame) => {
        this.figures.syncedAppends++;
        this.#send(member, frame);
      },
      setPaused: (isPaused) => (isPaused ? member.socket.pause() : member.socket.resume()),
      onFailed: (error) => {
        this.#refuse(member, error);
        onFatal(error);
      },
    });
    member.append = { session, directory, name, file };
    this.#send(member, textFrame(OK));
    for (const chunk of member.early.splice(0)) this.#receive(member.append, chunk);
  }

  #send(member: Member, frame: Uint8Array): void {
    if (!member.isClosed) member.outbox.send(frame);
  }

  #refuse(member: Member, error: unknown): void {
    const { message } = error as Error;
    this.figures.refused++;
    this.#options.log.warn(`a client is refused: ${message}`, { client: member.socket.remoteAddress });
    this.#send(
      member,
      textFrame(`${ERROR_PREFIX}${error instanceof WireError ? message : "the server cannot do this"}`),
    );
    member.isClosed = true;
    member.outbox.end();
  }

  #closed(member: Member | undefined): void {
    if (member === undefined) return;
    member.isClosed = true;
    member.outbox.close();
    this.#table.remove(member);
    const ending = member.work.then(() => this.#endAppend(member));
    this.#endings.add(ending);
    void ending.finally(() => this.#endings.delete(ending));
  }

  /** Never rejects. */
  async #endAppend(member: Member): Promise<void> {
    const { append } = member;
    member.append = undefined;
    if (append === undefined) return;
    try {
      await append.session.end();
      await this.#options.files.release(append.directory, append.name, append.file);
    } catch (error) {
      this.#options.log.error(`the end of an append failed: ${(error as Error).message}`, {
        file: append.name,
      });
    }
  }

  stopListening(): void {
    this.#listener?.stop();
    this.#listener = undefined;
  }

  async close(): Promise<void> {
    this.stopListening();
    const members = [...this.#table];
    this.#table.close();
    for (const member of members) this.#closed(member);
    await Promise.all(this.#endings);
  }
}
