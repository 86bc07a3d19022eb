/**
 * A sink of the two-phase protocol: workers connect, send output, ask whether it can be committed, say whether it is.
 *
 * Invariant: frames of one worker are handled one behind the other, so an answer never overtakes the disk. A worker's name
 * is the instance of its hello; a second connection of the same worker replaces the first.
 */
import type { World } from "../../core/role.ts";
import type { Listener, Socket } from "../../core/seams/net.ts";
import { makeDurableDirectory } from "../../core/seams/durable-files.ts";
import { Outbox } from "../../core/sockets/outbox.ts";
import { copyOf, WireError } from "../wire/bytes.ts";
import { connectorFrame, readConnectorFrame, type ConnectorFrame } from "../wire/connector.ts";
import { FrameReader } from "../wire/frame.ts";
import { checkedName } from "../wire/replica.ts";
import {
  CONTROL_STREAM,
  OUTPUT_STREAM,
  readTwoPhase,
  twoPhasePayload,
  type TwoPhaseMessage,
} from "../wire/two-phase.ts";
import type { Address } from "../sender/line.ts";
import { WorkerOutput } from "./worker-output.ts";

export interface TwoPhaseReceiverOptions {
  world: Pick<World, "net" | "clock" | "disk">;
  address: Address;
  directory: string;
  /** What the hello must show; undefined: anything. */
  cookie?: string;
  /** More of a worker's output is committed. */
  onCommit(worker: string, transaction: string, start: number, end: number): void;
  onProblem(text: string): void;
  /** Negative control: what is done with a vote. */
  vote?(isCommit: boolean): boolean;
}

interface Connection {
  socket: Socket;
  outbox: Outbox;
  reader: FrameReader;
  worker: string | undefined;
  output: WorkerOutput | undefined;
  used: number;
  answers: number;
  isClosed: boolean;
  /** Handled one behind the other. */
  work: Promise<void>;
  workBytes: number;
  isPaused: boolean;
}

const CREDITS = 500;
const BODY_BYTES_MAX = 1024 * 1024;
const OUTBOX_BYTES_MAX = 1024 * 1024;
const WORK_BYTES_MAX = 4 * 1024 * 1024;

export class TwoPhaseReceiver {
  readonly #options: TwoPhaseReceiverOptions;
  readonly #connections = new Set<Connection>();
  readonly #outputs = new Map<string, WorkerOutput>();
  #listener: Listener | undefined;
  commits = 0;
  rollbacks = 0;
  refusals = 0;
  connects = 0;

  constructor(options: TwoPhaseReceiverOptions) {
    this.#options = options;
  }

  get committedBytes(): number {
    return [...this.#outputs.values()].reduce((sum, { committedBytes }) => sum + committedBytes, 0);
  }

  async listen(): Promise<number> {
    const { world, address, directory } = this.#options;
    await makeDurableDirectory(world.disk, directory);
    this.#listener = await world.net.listen<Connection>({
      ...address,
      handlers: {
        open: (socket) => this.#open(socket),
        data: (_socket, connection, chunk) => this.#data(connection, chunk),
        drain: (_socket, connection) => connection.outbox.drain(),
        close: (_socket, connection) => this.#close(connection),
      },
    });
    return this.#listener.port;
  }

  #open(socket: Socket): Connection {
    const connection: Connection = {
      socket,
      outbox: new Outbox(socket, { bytesMax: OUTBOX_BYTES_MAX }),
      reader: new FrameReader(() => BODY_BYTES_MAX),
      worker: undefined,
      output: undefined,
      used: 0,
      answers: 0,
      isClosed: false,
      work: Promise.resolve(),
      workBytes: 0,
      isPaused: false,
    };
    this.#connections.add(connection);
    this.connects++;
    return connection;
  }

  #close(connection: Connection): void {
    connection.isClosed = true;
    connection.outbox.close();
    // What it had begun goes on; whoever comes next for this worker waits for it.
    void connection.work.then(() => this.#connections.delete(connection));
  }

  #data(connection: Connection, chunk: Uint8Array): void {
    try {
      connection.reader.feed(chunk, (bytes, start, end) => {
        this.#queue(connection, readConnectorFrame(copyOf(bytes.subarray(start, end))), end - start);
        return !connection.isClosed;
      });
    } catch (error) {
      this.#fail(connection, error);
    }
  }

  #queue(connection: Connection, frame: ConnectorFrame, bytes: number): void {
    connection.workBytes += bytes;
    if (connection.workBytes > WORK_BYTES_MAX && !connection.isPaused) {
      connection.isPaused = true;
      connection.socket.pause();
    }
    connection.work = connection.work
      .then(() => (connection.isClosed ? undefined : this.#handle(connection, frame)))
      .catch((error: unknown) => this.#fail(connection, error))
      .then(() => {
        connection.workBytes -= bytes;
        if (!connection.isPaused || connection.workBytes > 0) return;
        connection.isPaused = false;
        connection.socket.resume();
      });
  }

  #fail(connection: Connection, error: unknown): void {
    const { message } = error as Error;
    this.#options.onProblem(`${connection.worker ?? connection.socket.remoteAddress}: ${message}`);
    if (error instanceof WireError) this.#send(connection, { type: "error", text: message.slice(0, 1000) });
    connection.isClosed = true;
    connection.outbox.end();
  }

  #send(connection: Connection, frame: ConnectorFrame): void {
    if (!connection.isClosed) connection.outbox.send(connectorFrame(frame));
  }

  #answer(connection: Connection, message: TwoPhaseMessage): void {
    this.#send(connection, {
      type: "message",
      streamId: CONTROL_STREAM,
      messageId: ++connection.answers,
      eventTimeNs: 0n,
      key: new Uint8Array(0),
      payload: twoPhasePayload(message),
    });
  }

  async #handle(connection: Connection, frame: ConnectorFrame): Promise<void> {
    if (frame.type === "hello") return this.#greet(connection, frame);
    const { output } = connection;
    if (output === undefined) throw new WireError("a connection begins with a hello");
    this.#spend(connection, output);
    switch (frame.type) {
      case "notify": {
        const isAccepted = frame.streamId === OUTPUT_STREAM || frame.streamId === CONTROL_STREAM;
        const position = frame.streamId === OUTPUT_STREAM ? output.bytes : 0;
        return this.#send(connection, { type: "notifyAck", isAccepted, streamId: frame.streamId, position });
      }
      case "message":
        if (frame.streamId === CONTROL_STREAM)
          return this.#control(connection, output, readTwoPhase(frame.payload));
        if (frame.streamId !== OUTPUT_STREAM) throw new WireError(`there is no stream ${frame.streamId}`);
        output.append(frame.messageId, frame.payload);
        if (output.waitingBytes > WORK_BYTES_MAX / 4) await output.flush();
        return;
      case "endOfStream":
      case "workersLeft":
        return;
      case "error":
        throw new WireError(`the worker says: ${frame.text}`);
      default:
        throw new WireError(`a worker does not send ${frame.type} to a sink`);
    }
  }

  async #greet(connection: Connection, hello: Extract<ConnectorFrame, { type: "hello" }>): Promise<void> {
    const { cookie, world, directory } = this.#options;
    if (cookie !== undefined && hello.cookie !== cookie)
      throw new WireError("the cookie is not the one that is wanted");
    const worker = checkedName(hello.instance);
    for (const other of this.#connections) {
      if (other === connection || other.worker !== worker) continue;
      other.isClosed = true;
      other.socket.terminate();
      await other.work;
    }
    connection.worker = worker;
    let output = this.#outputs.get(worker);
    if (output === undefined) {
      output = await WorkerOutput.open(world, directory, worker);
      this.#outputs.set(worker, output);
    }
    await output.forgetUnpromised();
    connection.output = output;
    this.#send(connection, { type: "ok", credits: CREDITS });
  }

  /** Gives credits back before they run out. */
  #spend(connection: Connection, output: WorkerOutput): void {
    connection.used++;
    if (connection.used < CREDITS / 2) return;
    const positions = [{ streamId: OUTPUT_STREAM, position: output.committedBytes }];
    this.#send(connection, { type: "ack", credits: connection.used, positions });
    connection.used = 0;
  }

  async #control(connection: Connection, output: WorkerOutput, message: TwoPhaseMessage): Promise<void> {
    const { vote = (isCommit) => isCommit, onCommit, onProblem } = this.#options;
    switch (message.type) {
      case "listUncommitted":
        return this.#answer(connection, {
          type: "replyUncommitted",
          request: message.request,
          transactions: output.uncommitted,
        });
      case "phase1": {
        const isCommit = vote(await output.promise(message.transaction, message.ranges));
        if (!isCommit) {
          this.refusals++;
          onProblem(`${connection.worker}: ${message.transaction} is refused: ${output.fault}`);
        }
        return this.#answer(connection, { type: "phase1Reply", transaction: message.transaction, isCommit });
      }
      case "phase2": {
        const before = output.committedBytes;
        await output.settle(message.transaction, message.isCommit);
        if (!message.isCommit) this.rollbacks++;
        else if (output.committedBytes > before) {
          this.commits++;
          onCommit(connection.worker as string, message.transaction, before, output.committedBytes);
        }
        return;
      }
      case "workersLeft":
        return;
      default:
        throw new WireError(`a worker does not send ${message.type}`);
    }
  }

  async close(): Promise<void> {
    this.#listener?.stop();
    const connections = [...this.#connections];
    for (const connection of connections) {
      connection.isClosed = true;
      connection.socket.terminate();
    }
    await Promise.all(connections.map(({ work }) => work));
    for (const output of this.#outputs.values()) await output.close();
  }
}
