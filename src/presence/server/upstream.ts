/**
 * A lookup server's view of the registration server: which epoch it is in, and its databases, fetched and checked.
 *
 * Invariant: what is listed was verified: the size the metadata says, the digest the server told, in version 3 signature
 * and signed digest. However many clients ask for however many epochs, at most one question is under way at a time and
 * one fetch per epoch; an epoch that the registration server does not have is not asked for. It recovers by itself: the
 * server is asked again with growing pauses, and right after each boundary.
 */
import { createHash } from "node:crypto";
import { sleep, type Timer } from "../../core/seams/clock.ts";
import { NxError } from "../../core/errors.ts";
import type { Log } from "../../core/logging/log.ts";
import type { World } from "../../core/role.ts";
import { readBounded } from "../../core/secret-file.ts";
import { httpDownload, httpExchange, type HttpExchange } from "../../core/sockets/http-client.ts";
import { baseUrls } from "../address.ts";
import { fromHex, isEqual, toHex } from "../protocol/bytes.ts";
import { dataBytes } from "../protocol/layout.ts";
import {
  DATA_BYTES_MAX,
  decodeMetadata,
  isSigned,
  METADATA_BYTES,
  type Metadata,
} from "../protocol/metadata.ts";
import { nodePrimitives } from "../protocol/primitives-node.ts";
import type { PresenceConfig } from "./config.ts";
import type { Databases } from "./databases.ts";

export interface UpstreamOptions {
  world: Pick<World, "disk" | "clock" | "random">;
  config: Pick<
    PresenceConfig,
    "protocol" | "regServer" | "regServerCa" | "regServerKey" | "tlsVerify" | "retainEpochs" | "epochSeconds"
  >;
  databases: Databases;
  log: Log;
}

/** What `GET /` answers. */
interface ServerStatus {
  epoch: number;
}

export const DIGEST_HEADER = "x-dp5-sha256";

const STATUS_BYTES_MAX = 64 * 1024;
const PEM_BYTES_MAX = 1 << 20;
const STATUS_DEADLINE_MS = 5000;
const DOWNLOAD_DEADLINE_MS = 10 * 60_000;
/** Pause between two questions for the registration server's epoch, however many clients name later ones. */
const STATUS_PAUSE_MS = 100;
/** How long a client's lookup waits for a database that is being made. */
const PATIENCE_MS = 3000;
const PAUSE_MS_MIN = 200;
const PAUSE_MS_MAX = 10_000;

export class Upstream {
  readonly #options: UpstreamOptions;
  readonly #tls: NonNullable<HttpExchange["tls"]>;
  /** The base URL that answered last; the others are tried when it does not. */
  #bases: string[];
  #epoch: number | undefined;
  #askedAtMs = Number.NEGATIVE_INFINITY;
  #asking: Promise<void> | undefined;
  #nextQuestion: Promise<void> | undefined;
  readonly #fetches = new Map<number, Promise<void>>();
  #timer: Timer | undefined;
  #pauseMs = PAUSE_MS_MIN;
  #isClosed = false;
  readonly #abort = new AbortController();
  trouble: string | undefined;
  readonly figures = { fetched: 0, fetchedBytes: 0, failures: 0, questions: 0 };

  constructor(options: UpstreamOptions) {
    this.#options = options;
    const { regServer, regServerCa, tlsVerify } = options.config;
    this.#bases = baseUrls(regServer);
    if (this.#bases.length === 0) {
      throw new NxError("NX_CONFIG_INVALID", `regServer: ${regServer} is not an address`, {
        hint: "give host:port, or a URL such as https://localhost:8443",
      });
    }
    this.#tls = {
      isVerified: tlsVerify,
      ...(regServerCa !== undefined && { ca: readBounded(regServerCa, PEM_BYTES_MAX) }),
    };
    if (!tlsVerify) options.log.warn("tlsVerify is false: anybody can pass for the registration server");
  }

  /** The epoch that the registration server was in when it last answered. */
  get epoch(): number | undefined {
    return this.#epoch;
  }

  /** Asks at once, then keeps up by itself. */
  start(): void {
    void this.#keepUp();
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#abort.abort();
  }

  /** Fetches the database of an epoch that a client asked for, if there can be one. Never throws. */
  async want(epoch: number): Promise<void> {
    if (this.#epoch === undefined || epoch > this.#epoch) await this.#askAgain().catch(() => undefined);
    // Right behind a boundary the registration server is still at work on it.
    const { clock } = this.#options.world;
    const untilMs = clock.monotonicMs() + PATIENCE_MS;
    while (this.#isFetchable(epoch) && !this.#isClosed) {
      const isThere = await this.#fetchOnce(epoch).then(
        () => true,
        () => false,
      );
      if (isThere || clock.monotonicMs() > untilMs) return;
      await sleep(clock, STATUS_PAUSE_MS);
    }
  }

  /** A question that begins behind this call, shared by all who wait for one. */
  #askAgain(): Promise<void> {
    const { clock } = this.#options.world;
    this.#nextQuestion ??= (async () => {
      await this.#asking?.catch(() => undefined);
      const pauseMs = this.#askedAtMs + STATUS_PAUSE_MS - clock.monotonicMs();
      if (pauseMs > 0) await sleep(clock, pauseMs);
      this.#nextQuestion = undefined;
      await this.#ask();
    })();
    return this.#nextQuestion;
  }

  #isFetchable(epoch: number): boolean {
    const { retainEpochs } = this.#options.config;
    return this.#epoch !== undefined && epoch <= this.#epoch && epoch > this.#epoch - retainEpochs;
  }

  /** Follows the epochs: fetches what is new, waits for the next boundary, or longer and longer when it fails. */
  async #keepUp(): Promise<void> {
    const { databases, log, world, config } = this.#options;
    try {
      await this.#ask();
      const epoch = this.#epoch as number;
      if (databases.get(epoch) === undefined) await this.#fetchOnce(epoch);
      this.#pauseMs = PAUSE_MS_MIN;
      if (this.trouble !== undefined) log.info("the registration server answers again");
      this.trouble = undefined;
    } catch (error) {
      if (this.#isClosed) return;
      this.figures.failures += 1;
      const reason = (error as Error).message;
      if (this.trouble !== reason) log.warn(`no current database: ${reason}`);
      this.trouble = reason;
      this.#pauseMs = Math.min(PAUSE_MS_MAX, this.#pauseMs * 2);
    }
    if (this.#isClosed) return;
    const epochMs = config.epochSeconds * 1000;
    const untilBoundaryMs = epochMs - (world.clock.nowMs() % epochMs);
    // All lookup servers wake at the boundary: a random part keeps them from asking in one moment.
    const jitter = 1 + world.random.float() / 4;
    const pauseMs =
      this.trouble === undefined ? Math.min(untilBoundaryMs + 20 * jitter, 5000) : this.#pauseMs * jitter;
    this.#timer = world.clock.after(pauseMs, () => void this.#keepUp());
  }

  /** Learns the registration server's epoch; one question at a time. */
  #ask(): Promise<void> {
    this.#asking ??= this.#question().finally(() => {
      this.#asking = undefined;
      this.#askedAtMs = this.#options.world.clock.monotonicMs();
    });
    return this.#asking;
  }

  async #question(): Promise<void> {
    this.figures.questions += 1;
    let failure: unknown;
    for (const base of this.#bases) {
      try {
        const answer = await httpExchange({
          ...this.#exchange(`${base}/`),
          deadlineMs: STATUS_DEADLINE_MS,
          answerBytesMax: STATUS_BYTES_MAX,
        });
        const { epoch } = JSON.parse(new TextDecoder().decode(answer.body)) as ServerStatus;
        if (!Number.isSafeInteger(epoch) || epoch < 0) throw new Error(`${base}/ does not tell its epoch`);
        this.#epoch = epoch;
        this.#bases = [base, ...this.#bases.filter((other) => other !== base)];
        return;
      } catch (error) {
        failure ??= error;
      }
    }
    throw failure;
  }

  #exchange(url: string) {
    return { url, tls: this.#tls, signal: this.#abort.signal };
  }

  #fetchOnce(epoch: number): Promise<void> {
    if (this.#options.databases.get(epoch) !== undefined) return Promise.resolve();
    let fetching = this.#fetches.get(epoch);
    if (fetching === undefined) {
      fetching = this.#retrieve(epoch).finally(() => this.#fetches.delete(epoch));
      this.#fetches.set(epoch, fetching);
    }
    return fetching;
  }

  async #retrieve(epoch: number): Promise<void> {
    const { databases, world, log } = this.#options;
    const metadata = await this.#fetchMetadata(epoch);
    const wantedBytes = dataBytes(metadata);
    const path = databases.dataPath(epoch);
    const part = `${path}.part`;
    const file = await world.disk.open(part, "create");
    let digest: Uint8Array;
    try {
      await file.truncate(0);
      const hasher = createHash("sha256");
      let at = 0;
      const url = `${this.#bases[0]}/download/${epoch}`;
      const exchange = {
        ...this.#exchange(url),
        deadlineMs: DOWNLOAD_DEADLINE_MS,
        answerBytesMax: wantedBytes,
      };
      const { status, headers, bytes } = await httpDownload(exchange, async (chunk) => {
        hasher.update(chunk);
        // The disk works on explicit buffers while the network goes on.
        const copy = new Uint8Array(new ArrayBuffer(chunk.byteLength));
        copy.set(chunk);
        await file.write(copy, at);
        at += chunk.byteLength;
      });
      if (status !== 200) throw new Error(`${url} answered ${status}`);
      digest = new Uint8Array(hasher.digest());
      const told = metadata.proof?.digest ?? fromHex(headers.get(DIGEST_HEADER) ?? "");
      if (bytes !== wantedBytes) throw new Error(`${url} sent ${bytes} of ${wantedBytes} bytes`);
      if (told !== undefined && told.byteLength > 0 && !isEqual(told, digest))
        throw new Error(`${url} sent other bytes than announced (SHA-256 ${toHex(digest)})`);
      await file.sync();
    } finally {
      await file.close();
    }
    await world.disk.rename(part, path);
    await databases.adopt(metadata, digest);
    this.figures.fetched += 1;
    this.figures.fetchedBytes += wantedBytes;
    log.info("fetched a database", { epoch, bytes: wantedBytes });
  }

  async #fetchMetadata(epoch: number): Promise<Metadata> {
    const { protocol, regServerKey } = this.#options.config;
    const url = `${this.#bases[0]}/download/${epoch}/meta`;
    const exchange = { ...this.#exchange(url), deadlineMs: STATUS_DEADLINE_MS };
    const answer = await httpExchange({ ...exchange, answerBytesMax: STATUS_BYTES_MAX });
    if (answer.status !== 200) throw new Error(`${url} answered ${answer.status}`);
    const metadata =
      answer.body.byteLength === METADATA_BYTES[protocol]
        ? decodeMetadata(answer.body, protocol, epoch)
        : undefined;
    if (metadata === undefined) throw new Error(`${url} is not valid metadata of protocol ${protocol}`);
    if (dataBytes(metadata) > DATA_BYTES_MAX) throw new Error(`${url} announces an absurd size`);
    const key = regServerKey === undefined ? undefined : fromHex(regServerKey);
    if (protocol === 3 && !isSigned(nodePrimitives, metadata, key))
      throw new Error(`${url} is not signed by ${key === undefined ? "its signer" : "the configured key"}`);
    return metadata;
  }
}
