/**
 * Reads a log back from its stream: the newest whole snapshot, then every group behind its beginning.
 *
 * Invariant: everything from the snapshot's beginning to the stream's end is there, message by message, or nothing is
 * served: NX_JETSTREAM_LOST names the first one that is missing.
 */
import type { StreamConfig } from "@nats-io/jetstream";
import type { OnFrame } from "../../append-log/scan.ts";
import type { Crc32c } from "../../crc32c.ts";
import { NxError } from "../../errors.ts";
import { findStream } from "../find-stream.ts";
import type { NatsLink, NatsSession } from "../link.ts";
import { readStream, type StoredMessage, type StreamRange } from "../read-stream.ts";
import { Header, PartsReader, subjectOf } from "./format.ts";

export interface Replay {
  onSnapshot: OnFrame;
  onFrame: OnFrame;
}

export interface StreamShape {
  stream: string;
  replicas: number;
  /** 0: no limit but the servers' own. */
  bytesMax: number;
}

/** Makes the stream when it is missing. Throws NX_JETSTREAM_REFUSED when it could lose messages by its configuration. */
export async function openStream(session: NatsSession, shape: StreamShape): Promise<void> {
  const { stream, replicas, bytesMax } = shape;
  const found = await findStream(session, stream, {
    subjects: [`${stream}.*`],
    num_replicas: replicas,
    max_bytes: bytesMax === 0 ? -1 : bytesMax,
    ...{ retention: "limits", discard: "new", deny_delete: true, allow_direct: false },
  });
  const wrong = faultOf(found.config, shape);
  if (wrong !== undefined)
    throw new NxError("NX_JETSTREAM_REFUSED", `the stream ${stream} ${wrong}`, {
      hint: "name another stream, or correct this one with `nats stream edit`",
    });
}

function faultOf(config: StreamConfig, { stream, replicas }: StreamShape): string | undefined {
  if (config.subjects?.join() !== `${stream}.*`)
    return `is for ${config.subjects?.join(", ")}, not for ${stream}.*`;
  if (config.retention !== "limits" || config.discard !== "new")
    return "lets go of old messages when it is full";
  if (config.max_age > 0 || config.max_msgs > 0 || config.max_msgs_per_subject > 0)
    return "lets go of messages by age or number";
  if (config.storage !== "file") return "is kept in memory only";
  if (config.num_replicas < replicas)
    return `has ${config.num_replicas} replicas, and ${replicas} are wanted`;
  return undefined;
}

export interface RecoveryOptions {
  link: NatsLink;
  stream: string;
  payloadFormat: number;
  crc32c: Crc32c;
  progress(text: string): void;
}

export class Recovery {
  readonly #link: NatsLink;
  readonly #stream: string;
  readonly #format: number;
  readonly #parts: PartsReader;
  readonly #replay: Replay;
  readonly #onWait: (reason: string) => void;
  /** Of the last message that was read. */
  #sequence = 0;
  snapshotBytes = 0;
  /** Of the groups behind the snapshot's beginning. */
  logBytes = 0;

  constructor({ link, stream, payloadFormat, crc32c, progress }: RecoveryOptions, replay: Replay) {
    this.#link = link;
    this.#stream = stream;
    this.#format = payloadFormat;
    this.#parts = new PartsReader(stream, crc32c);
    this.#replay = replay;
    this.#onWait = (reason) => progress(`reading the stream ${stream} waits: ${reason}`);
  }

  /** Snapshot and log, up to the present end. Throws NX_JETSTREAM_LOST, NX_DATA_CORRUPT, NX_DATA_VERSION. */
  async readAll(): Promise<void> {
    const [state, end] = await this.#link.insist(async ({ manager: { streams } }) => {
      const { state } = await streams.info(this.#stream);
      const query = { last_by_subj: subjectOf(this.#stream, "end") };
      return [state, await streams.getMessage(this.#stream, query)] as const;
    }, this.#onWait);
    const begin = end === null ? 1 : Number(end.header?.get(Header.begin));
    if (end !== null) {
      const slices = await this.#readSnapshot(begin, end.seq);
      const wanted = Number(end.header?.get(Header.slices));
      if (slices !== wanted)
        throw new NxError(
          "NX_JETSTREAM_LOST",
          `the snapshot that ends at ${end.seq} in the stream ${this.#stream} has ${slices} slices of ${wanted}`,
        );
    }
    this.#sequence = begin - 1;
    await this.readUpTo(state.last_seq);
  }

  async #readSnapshot(begin: number, end: number): Promise<number> {
    let slices = 0;
    await this.#read({ subject: subjectOf(this.#stream, "slice"), after: begin, upTo: end }, (message) => {
      if (Number(message.header(Header.begin)) !== begin) return;
      const slice = this.#parts.add(message);
      if (slice === undefined) return;
      slices += 1;
      this.snapshotBytes += slice.byteLength;
      this.#replay.onSnapshot(slice, this.#placeOf(message));
    });
    return slices;
  }

  /** Groups up to this sequence, each message of the stream looked at. */
  async readUpTo(upTo: number): Promise<void> {
    await this.#read({ after: this.#sequence, upTo }, (message) => {
      if (message.sequence !== this.#sequence + 1) throw this.#lost(this.#sequence + 1, message.sequence);
      this.#sequence = message.sequence;
      this.#take(message);
    });
    if (this.#sequence < upTo) throw this.#lost(this.#sequence + 1, upTo + 1);
  }

  /** Each message once, also when reading has to begin again in the middle. */
  async #read(range: Omit<StreamRange, "stream">, take: (message: StoredMessage) => void): Promise<void> {
    let { after } = range;
    await this.#link.insist(async (session) => {
      for await (const message of readStream(session, { ...range, stream: this.#stream, after })) {
        after = message.sequence;
        take(message);
      }
    }, this.#onWait);
  }

  #take(message: StoredMessage): void {
    if (message.subject === subjectOf(this.#stream, "claim")) {
      this.#parts.forget();
      if (message.header(Header.format) !== String(this.#format))
        throw new NxError(
          "NX_DATA_VERSION",
          `the stream ${this.#stream} was written in format ${message.header(Header.format)}, and this is ${this.#format}`,
        );
    }
    if (message.subject !== subjectOf(this.#stream, "effects")) return;
    const group = this.#parts.add(message);
    if (group === undefined) return;
    this.logBytes += group.byteLength;
    this.#replay.onFrame(group, this.#placeOf(message));
  }

  #placeOf({ sequence }: StoredMessage) {
    return { path: `the stream ${this.#stream}, message ${sequence}`, offset: 0 };
  }

  #lost(from: number, next: number): NxError {
    const which = next - 1 > from ? `${from} to ${next - 1}` : String(from);
    return new NxError(
      "NX_JETSTREAM_LOST",
      `the stream ${this.#stream} does not have the messages ${which}`,
      {
        hint: "restore the stream from a backup, or begin with another one",
      },
    );
  }
}
