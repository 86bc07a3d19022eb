/**
 * The registration server's half: takes registrations for the next epoch, and makes each epoch's database.
 *
 * The epoch is the clock's, divided by its length, plus what fast-forwards added. Invariant: a registration is answered
 * "ok" only when it is durable, and is visible in exactly the epoch that it named. The epoch never goes back, whatever
 * the clock or a restart does: that it has begun is in the log. Registrations go on while a database is built; only
 * their epoch number moves on.
 *
 * After a crash the epoch that had begun is built again from the log, unless its database was published. Epochs that
 * passed while the server was down get no database, but the last ones that would still be kept.
 */
import type { Timer } from "../../core/seams/clock.ts";
import { NxError } from "../../core/errors.ts";
import type { Log } from "../../core/logging/log.ts";
import type { World } from "../../core/role.ts";
import { BLINDED_KEY_BYTES, combinedId, SIGNATURE_BYTES, verifyCombined } from "../protocol/blinding.ts";
import { EPOCH_BYTES, viewOf } from "../protocol/bytes.ts";
import { RegistrationError } from "../protocol/messages.ts";
import { nodePrimitives } from "../protocol/primitives-node.ts";
import { schemeOf, type Scheme } from "../protocol/scheme.ts";
import { PRF_KEY_CANDIDATES, type BuiltDatabase, type DatabaseSpec } from "./build-database.ts";
import type { PresenceConfig } from "./config.ts";
import type { Databases } from "./databases.ts";
import { RegistrationLog } from "./registration-log.ts";
import type { Signer } from "./signer.ts";

export interface RegistrarOptions {
  world: Pick<World, "disk" | "clock" | "random">;
  config: Pick<
    PresenceConfig,
    "protocol" | "combined" | "batchCodes" | "payloadBytes" | "maxBuddies" | "epochSeconds" | "retainEpochs"
  >;
  registrationsBytesMax: number;
  directory: string;
  segmentBytesMin?: number;
  databases: Databases;
  signer: Signer;
  log: Log;
  build(spec: DatabaseSpec, chunks: Uint8Array[]): Promise<BuiltDatabase>;
  onFatal(error: Error): void;
}

export interface RegistrationOutcome {
  error: RegistrationError;
  /** The epoch that registrations were for when this one was judged. */
  nextEpoch: number;
}

/** Pause after a build that failed, on a full disk for instance. */
const BUILD_RETRY_MS = 1000;
/** What records of different shapes are told apart by in the log. */
const FORMAT_OF_LOG = 1;

export class Registrar {
  readonly #options: RegistrarOptions;
  readonly #scheme: Scheme;
  readonly #log: RegistrationLog;
  #epoch: number;
  /** Epochs ahead of the clock, by fast-forwards. */
  #skew: number;
  #timer: Timer | undefined;
  #builds: Promise<void> = Promise.resolve();
  #building: number | undefined;
  #trouble: string | undefined;
  #isClosed = false;
  readonly figures = { registrations: 0, refused: 0, records: 0, buildMs: 0, builds: 0 };

  private constructor(options: RegistrarOptions, log: RegistrationLog) {
    this.#options = options;
    this.#scheme = schemeOf(options.config.protocol, options.config.payloadBytes);
    this.#log = log;
    const clockEpoch = this.#clockEpoch();
    this.#epoch = Math.max(clockEpoch, log.begun ?? 0);
    this.#skew = this.#epoch - clockEpoch;
  }

  static async open(options: RegistrarOptions): Promise<Registrar> {
    const { config, world, directory, segmentBytesMin, onFatal, log } = options;
    const { protocol, combined, payloadBytes } = config;
    // One byte each: format, protocol and mode; then the length of a status.
    const payloadFormat =
      ((FORMAT_OF_LOG << 24) | (protocol << 20) | ((combined ? 1 : 0) << 16) | payloadBytes) >>> 0;
    const registrations = await RegistrationLog.open({
      world,
      directory,
      payloadFormat,
      ...(segmentBytesMin !== undefined && { segmentBytesMin }),
      onState(state, error) {
        if (state === "failed") onFatal(error ?? new NxError("NX_DISK_FAILED", "the log failed"));
        else if (state === "full")
          log.error(`registrations are refused: ${error?.message}`, { code: error?.code });
        else if (state === "open") log.info("registrations are accepted again");
      },
    });
    const registrar = new Registrar(options, registrations);
    await registrar.#begin();
    return registrar;
  }

  /** The current epoch; registrations are for the next one. */
  get epoch(): number {
    return this.#epoch;
  }

  /** The epoch whose database is being made. */
  get building(): number | undefined {
    return this.#building;
  }

  /** Resolves when the databases that are being made now are published. */
  whenBuilt(): Promise<void> {
    return this.#builds;
  }

  /** Why registrations or epochs do not go on as they should; undefined when all is well. */
  get trouble(): string | undefined {
    return this.#log.stats.state === "full" ? "the disk is full: registrations are refused" : this.#trouble;
  }

  get pendingBytes(): number {
    return this.#log.bytesOf(this.#epoch + 1);
  }

  get logStats() {
    return this.#log.stats;
  }

  /** The longest body that is read. Versions 1 and 2 took any number of records; here some more than anybody needs. */
  get registrationBytesMax(): number {
    return 4 * this.#exactBytes();
  }

  #recordBytes(): number {
    const { idBytes, sealedBytes } = this.#scheme;
    return this.#options.config.combined
      ? BLINDED_KEY_BYTES + sealedBytes + SIGNATURE_BYTES
      : idBytes + sealedBytes;
  }

  #exactBytes(): number {
    const { combined, maxBuddies } = this.#options.config;
    return EPOCH_BYTES + this.#recordBytes() * (combined ? 1 : maxBuddies);
  }

  /** Judges a registration; resolves when it is durable. Throws NX_DISK_FULL or NX_NOT_READY when it cannot be kept. */
  async register(body: Uint8Array): Promise<RegistrationOutcome> {
    const nextEpoch = this.#epoch + 1;
    const records = this.#recordsOf(body, nextEpoch);
    if (typeof records === "number") {
      this.figures.refused += 1;
      return { error: records, nextEpoch };
    }
    if (this.pendingBytes + records.byteLength > this.#options.registrationsBytesMax)
      throw new NxError("NX_NOT_READY", "this epoch has all the registrations that it may have");
    if (records.byteLength > 0) await this.#log.append(nextEpoch, records);
    this.figures.registrations += 1;
    this.figures.records += records.byteLength / this.#scheme.recordBytes;
    return { error: RegistrationError.ok, nextEpoch };
  }

  /** The records to store, or the error of a body that is none. */
  #recordsOf(body: Uint8Array, nextEpoch: number): Uint8Array | RegistrationError {
    if (body.byteLength < EPOCH_BYTES) return RegistrationError.short;
    if (viewOf(body).getUint32(0) !== nextEpoch) return RegistrationError.wrongEpoch;
    const sent = body.subarray(EPOCH_BYTES);
    const isLengthRight =
      this.#scheme.version === 3
        ? body.byteLength === this.#exactBytes()
        : sent.byteLength % this.#recordBytes() === 0;
    if (!isLengthRight) return RegistrationError.badLength;
    return this.#options.config.combined ? this.#combined(sent, nextEpoch) : this.#pairwise(sent, nextEpoch);
  }

  /** Secret ids become ids: the database shows nothing that could be registered under. */
  #pairwise(sent: Uint8Array, epoch: number): Uint8Array {
    const { idBytes, recordBytes } = this.#scheme;
    const records = sent.slice();
    for (let at = 0; at < records.byteLength; at += recordBytes)
      records.set(this.#scheme.idOf(nodePrimitives, sent.subarray(at, at + idBytes), epoch), at);
    return records;
  }

  #combined(sent: Uint8Array, epoch: number): Uint8Array | RegistrationError {
    const { idBytes, sealedBytes, recordBytes } = this.#scheme;
    if (!verifyCombined(nodePrimitives, sent, epoch, sealedBytes)) return RegistrationError.badLength;
    const record = new Uint8Array(recordBytes);
    record.set(combinedId(nodePrimitives, sent.subarray(0, BLINDED_KEY_BYTES), epoch), 0);
    record.set(sent.subarray(BLINDED_KEY_BYTES, BLINDED_KEY_BYTES + sealedBytes), idBytes);
    return record;
  }

  // --- epochs ----------------------------------------------------------------------------------------------------

  #clockEpoch(): number {
    return Math.floor(this.#options.world.clock.nowMs() / 1000 / this.#options.config.epochSeconds);
  }

  async #begin(): Promise<void> {
    await this.#log.begin(this.#epoch);
    const { retainEpochs } = this.#options.config;
    const unbuilt = this.#log
      .epochs()
      .filter((epoch) => epoch < this.#epoch && epoch > this.#epoch - retainEpochs)
      .sort((a, b) => a - b);
    for (const epoch of [...unbuilt, this.#epoch])
      if (this.#options.databases.get(epoch) === undefined) this.#buildLater(epoch);
    await this.#builds;
    this.#scheduleBoundary();
  }

  /** Begins the next epoch now, whatever the clock says; resolves when its database is published. */
  async fastForward(): Promise<{ old: number; new: number }> {
    const old = this.#epoch;
    this.#skew += 1;
    this.#moveTo(old + 1);
    await this.#builds;
    return { old, new: old + 1 };
  }

  #scheduleBoundary(): void {
    if (this.#isClosed) return;
    const { clock } = this.#options.world;
    const epochMs = this.#options.config.epochSeconds * 1000;
    const boundaryMs = (this.#clockEpoch() + 1) * epochMs;
    this.#timer = clock.after(Math.max(1, Math.min(boundaryMs - clock.nowMs(), 60_000)), () => {
      this.#moveTo(this.#clockEpoch() + this.#skew);
      this.#scheduleBoundary();
    });
  }

  /** Registrations that arrive behind this call are for a later epoch; the databases follow one by one. */
  #moveTo(target: number): void {
    if (target <= this.#epoch) return;
    const first = Math.max(this.#epoch + 1, target - this.#options.config.retainEpochs + 1);
    this.#epoch = target;
    for (let epoch = first; epoch <= target; epoch++) this.#buildLater(epoch);
  }

  #buildLater(epoch: number): void {
    this.#builds = this.#builds.then(() => this.#buildUntilDone(epoch));
  }

  async #buildUntilDone(epoch: number): Promise<void> {
    const { world, log } = this.#options;
    for (;;) {
      if (this.#isClosed) return;
      this.#building = epoch;
      try {
        await this.#build(epoch);
        this.#trouble = undefined;
        this.#building = undefined;
        return;
      } catch (error) {
        if (this.#isClosed) return;
        this.#trouble = `the database of epoch ${epoch} cannot be made: ${(error as Error).message}`;
        log.error(this.#trouble, { code: (error as NxError).code });
        await new Promise<void>((resolve) => world.clock.after(BUILD_RETRY_MS, resolve));
      }
    }
  }

  async #build(epoch: number): Promise<void> {
    const { world, config, databases, signer, log } = this.#options;
    const startMs = world.clock.monotonicMs();
    if ((this.#log.begun ?? 0) < epoch) await this.#log.begin(epoch);
    const spec: DatabaseSpec = {
      version: config.protocol,
      isCombined: config.combined,
      payloadBytes: config.payloadBytes,
      epoch,
      epochSeconds: config.epochSeconds,
      maxBuddies: config.maxBuddies,
      isBatched: config.batchCodes,
      prfKeys: Array.from({ length: PRF_KEY_CANDIDATES }, () => world.random.bytes(this.#scheme.prfKeyBytes)),
    };
    const { metadata, data, digest } = await this.#options.build(spec, this.#log.chunks(epoch));
    await databases.publish(signer.sign(metadata), data, digest);
    this.figures.buildMs = world.clock.monotonicMs() - startMs;
    this.figures.builds += 1;
    const { rows, bucketSize } = metadata;
    log.info("published a database", { epoch, rows, bucketSize, bytes: data.byteLength });
    await this.#log
      .forget((done) => done <= epoch)
      .catch((error: NxError) => {
        log.warn(`the registrations of past epochs stay in the log: ${error.message}`, { code: error.code });
      });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    await this.#log.close();
  }
}
