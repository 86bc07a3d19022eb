/**
 * A JetStream stream as a target: the records of a checkpoint, each a message, each once.
 *
 * A message's id (`Nats-Msg-Id`) is the output's own id, the checkpoint and the record's number in it. Within its
 * de-duplication window the stream drops what comes twice. Beyond the window this file looks: a checkpoint keeps where
 * the stream stood when the output had last been acknowledged, and whatever is uncertain (the worker died, or an
 * acknowledgement did not come) is looked for behind that point before anything is sent again.
 *
 * Invariant: `deliver` resolves when every record of the checkpoint is acknowledged by the stream. The id is drawn when an
 * output begins and kept in its checkpoints, so the checkpoints of another cluster never pass for this one's.
 *
 * Limits: a stream that has let go of messages since (a work queue, an age or size limit) cannot be asked any more, and
 * then its window alone protects. Records are sent `inFlight` at a time; when a server dies between them, a later one may
 * be stored before an earlier one that is sent again.
 */
import { NxError } from "../../core/errors.ts";
import type { Log } from "../../core/logging/log.ts";
import { findStream, newStream } from "../../core/nats/find-stream.ts";
import type { NatsLink, NatsSession } from "../../core/nats/link.ts";
import { readStream, WHATEVER_COMES } from "../../core/nats/read-stream.ts";
import type { Random } from "../../core/seams/random.ts";
import type { Target } from "./target.ts";

export interface NatsTargetOptions {
  link: NatsLink;
  random: Random;
  log: Log;
  stream: string;
  /** What records are published to; undefined: the one subject of the stream. */
  subject: string | undefined;
  inFlight: number;
  /** Replicas of the stream, if it is to be made when it is missing. */
  create?: number | undefined;
}

interface Position {
  /** Names this output in every message's id. */
  id: string;
  /** Nothing of a checkpoint that keeps this is in the stream at or before this sequence. */
  sequence: number;
  /** When the stream was made: sequences of another one mean nothing. */
  created: string;
}

const ID_BYTES = 9;
const ACK_TIMEOUT_MS = 5000;
const ID_HEADER = "Nats-Msg-Id";

export class NatsTarget implements Target {
  readonly #options: NatsTargetOptions;
  #position: Position = { id: "", sequence: 0, created: "" };
  #checkpoint = 0;
  /** Which records of the checkpoint are acknowledged, or were found in the stream. */
  #stored = new Set<number>();
  /** The last stored one's sequence. */
  #storedSequence = 0;
  /** Something may be in the stream that is not in `#stored`. */
  #isUncertain = false;
  #subject: string | undefined;

  constructor(options: NatsTargetOptions) {
    this.#options = options;
  }

  resume(position: unknown): void {
    const known = position as Position | undefined;
    if (known !== undefined && known.id === this.#position.id) return;
    const id = Buffer.from(this.#options.random.bytes(ID_BYTES)).toString("base64url");
    this.#position = { id, sequence: 0, created: "", ...known };
    this.#checkpoint = 0;
    this.#isUncertain = known !== undefined;
  }

  position(): Position {
    return { ...this.#position };
  }

  async deliver(checkpoint: number, records: readonly Uint8Array[]): Promise<void> {
    const session = await this.#options.link.session();
    await this.#prepare(session);
    if (this.#checkpoint !== checkpoint) [this.#stored, this.#storedSequence] = [new Set(), 0];
    this.#checkpoint = checkpoint;
    const subject = this.#subject as string;
    if (this.#isUncertain) await this.#findStored(session, subject);
    this.#isUncertain = true;
    await this.#publishMissing(session, subject, records);
    this.#isUncertain = false;
    this.#position.sequence = this.#storedSequence;
  }

  /** Once in each life: the subject, and where the stream stands before the first delivery. */
  async #prepare(session: NatsSession): Promise<void> {
    if (this.#subject !== undefined) return;
    const { stream, subject, create, log } = this.#options;
    const { config, state, created } = await findStream(session, stream, newStream(stream, subject, create));
    // Of an output that begins nothing is there yet. A checkpoint that knows another stream, or none yet, knows no place.
    if (!this.#isUncertain && this.#position.created === "") this.#position.sequence = state.last_seq;
    else if (this.#position.created !== created) this.#position.sequence = 0;
    this.#position.created = created;
    if (config.retention !== "limits")
      log.warn(
        `the stream ${stream} lets go of messages by "${config.retention}": a restart later than its de-duplication window of ${config.duplicate_window / 1e9} s may send records again`,
      );
    const [only = "", ...others] = config.subjects ?? [];
    if (subject === undefined && (others.length > 0 || only === "" || /[*>]/.test(only)))
      throw new NxError("NX_JETSTREAM_REFUSED", `the stream ${stream} has no single subject to publish to`, {
        hint: "name one with ?subject=SUBJECT",
      });
    this.#subject = subject ?? only;
  }

  async #findStored(session: NatsSession, subject: string): Promise<void> {
    const { stream, log } = this.#options;
    const prefix = `${this.#position.id}.${this.#checkpoint}.`;
    const range = { stream, subject, after: this.#position.sequence, upTo: WHATEVER_COMES };
    for await (const { sequence, header } of readStream(session, { ...range, headersOnly: true })) {
      const id = header(ID_HEADER);
      if (!id.startsWith(prefix)) continue;
      this.#stored.add(Number(id.slice(prefix.length)));
      this.#storedSequence = Math.max(this.#storedSequence, sequence);
    }
    if (this.#stored.size > 0)
      log.info("records of a checkpoint are in the stream already", {
        ...{ stream, checkpoint: this.#checkpoint, records: this.#stored.size },
      });
  }

  async #publishMissing(
    { jetstream }: NatsSession,
    subject: string,
    records: readonly Uint8Array[],
  ): Promise<void> {
    const { stream, inFlight } = this.#options;
    let next = 0;
    let isBroken = false;
    const publish = async (): Promise<void> => {
      // Behind a failure nothing more is sent: it would come before what has to be sent again.
      while (next < records.length && !isBroken) {
        const number = next++;
        if (this.#stored.has(number)) continue;
        const { seq } = await jetstream.publish(subject, records[number] as Uint8Array, {
          msgID: `${this.#position.id}.${this.#checkpoint}.${number}`,
          expect: { streamName: stream },
          timeout: ACK_TIMEOUT_MS,
        });
        this.#stored.add(number);
        this.#storedSequence = Math.max(this.#storedSequence, seq);
      }
    };
    const publishers = Array.from({ length: inFlight }, () =>
      publish().catch((error: unknown) => {
        isBroken = true;
        throw error;
      }),
    );
    const failed = (await Promise.allSettled(publishers)).find(({ status }) => status === "rejected");
    if (failed !== undefined) throw (failed as PromiseRejectedResult).reason;
  }

  close(): Promise<void> {
    return this.#options.link.close();
  }
}
