/**
 * A client of private presence, for Bun, Node and browsers: registers a user's status for friends, and looks friends up
 * without telling any server, nor any `privacyLevel` of them together, whom it asked for.
 *
 *   const client = new PresenceClient({ regServer, lookupServers, privacyLevel: 1, primitives, engine });
 *   await client.register(identity, [{ friend, payload }]);          // visible from the next epoch on
 *   const { friends } = await client.lookup(identity, [friend]);     // in the current epoch
 *
 * `primitives` are nodePrimitives (Bun, Node) or noblePrimitives (anywhere), `engine` is nativeEngine() (node-x itself) or
 * typescriptEngine (anywhere). Invariant: messages of one service have the same number, order and length for every user;
 * a server that fails, is late or lies is left out and named; a wrong state is never the result of it, as far as the
 * protocol version can tell.
 */
import { NxError } from "../core/errors.ts";
import { openAnswers, type ServerAnswer } from "./client/answers.ts";
import type { Friend, Identity } from "./client/identity.ts";
import { isPirCheaper, planLookup, type LookupPlan, type Target } from "./client/lookup-plan.ts";
import { combinedRegistration, pairwiseRegistration, type Announcement } from "./client/registration.ts";
import { Server, type ServerOptions, type Traffic } from "./client/servers.ts";
import { choosePoints, type PirEngine } from "./pir/engine.ts";
import { compareBytes, isEqual, toHex, viewOf } from "./protocol/bytes.ts";
import { dataBytes, isBatched, placeOf, rowBytes } from "./protocol/layout.ts";
import {
  encodeLookup,
  encodePirPayload,
  LOOKUP_HEAD_BYTES,
  LookupType,
  REGISTRATION_REPLY_BYTES,
  RegistrationError,
  ReplyStatus,
} from "./protocol/messages.ts";
import {
  decodeMetadataReply,
  encodeMetadata,
  isSigned,
  METADATA_BYTES,
  type Metadata,
} from "./protocol/metadata.ts";
import type { Primitives } from "./protocol/primitives.ts";
import { MAX_BUDDIES, schemeOf, type ProtocolVersion, type Scheme } from "./protocol/scheme.ts";

export { Identity, type Friend, type IdentityKeys } from "./client/identity.ts";
export type { Announcement } from "./client/registration.ts";
export type { Traffic } from "./client/servers.ts";

export interface ClientOptions extends ServerOptions {
  regServer: string;
  lookupServers: readonly string[];
  /** How many servers may collude and learn nothing: 1 to servers - 1, which is the default. */
  privacyLevel?: number;
  /** 3 when absent. */
  protocol?: ProtocolVersion;
  combined?: boolean;
  payloadBytes?: number;
  maxBuddies?: number;
  /** The registration server's signing key; without it, t + 1 servers must show the same metadata. */
  serverKey?: Uint8Array;
  /** Never fetch the whole database, even where that is cheaper. */
  forcePir?: boolean;
  primitives: Primitives;
  engine: PirEngine;
}

/** `invalid`: a record is there but is not what the friend sealed. `deferred`: to be asked for in the next epoch. */
export type FriendState = "online" | "offline" | "invalid" | "deferred";

export interface FoundFriend {
  friend: Friend;
  state: FriendState;
  payload: Uint8Array | undefined;
}

export interface LookupResult {
  epoch: number;
  /** In the order in which they were given. */
  friends: FoundFriend[];
  /** Servers that gave no usable answer, each with the reason. */
  dropped: { server: string; reason: string }[];
  /** Servers whose answers were wrong, and were corrected. */
  liars: string[];
  /** Whether the whole database was fetched instead of queries. */
  isDownload: boolean;
  traffic: Traffic;
}

export interface ServiceStatus {
  epoch: number;
  isRegServer: boolean;
}

const STATUS_BYTES_MAX = 64 * 1024;
const ERROR_BYTES_MAX = 4096;

export class PresenceClient {
  readonly #options: ClientOptions;
  readonly #scheme: Scheme;
  readonly #regServer: Server;
  readonly #lookupServers: Server[];
  readonly privacyLevel: number;

  constructor(options: ClientOptions) {
    const { regServer, lookupServers, protocol = 3, payloadBytes = 16, combined = false } = options;
    if (combined && protocol !== 3) throw invalid("combined: wanted false, or protocol 3");
    this.#options = options;
    this.#scheme = schemeOf(protocol, payloadBytes);
    this.#regServer = new Server(regServer, options);
    this.#lookupServers = lookupServers.map((address) => new Server(address, options));
    this.privacyLevel = checkedLevel(options.privacyLevel, lookupServers.length);
  }

  get maxBuddies(): number {
    return this.#options.maxBuddies ?? MAX_BUDDIES;
  }

  get payloadBytes(): number {
    return this.#scheme.payloadBytes;
  }

  /** What the registration server says of itself. */
  async status(): Promise<ServiceStatus> {
    const answer = await this.#regServer.exchange("/", undefined, STATUS_BYTES_MAX);
    const { epoch, register } = JSON.parse(new TextDecoder().decode(answer.body)) as Record<string, unknown>;
    if (!Number.isSafeInteger(epoch)) throw refused("the registration server does not tell its epoch");
    return { epoch: epoch as number, isRegServer: register === true };
  }

  // --- registration ----------------------------------------------------------------------------------------------

  /** Makes the user visible to these friends in the epoch behind `epoch` (the current one). */
  async register(
    identity: Identity,
    announcements: readonly Announcement[],
    epoch?: number,
    traffic?: Traffic,
  ): Promise<{ visibleIn: number }> {
    const { primitives } = this.#options;
    const current = epoch ?? (await this.status()).epoch;
    const body = pairwiseRegistration(
      ...([primitives, this.#scheme, identity, announcements, this.maxBuddies, current + 1] as const),
    );
    return this.#send(body, current, traffic);
  }

  /** The combined mode: one status that all friends read. */
  async registerCombined(
    identity: Pick<Identity, "signingSeed">,
    payload: Uint8Array,
    epoch?: number,
    traffic?: Traffic,
  ): Promise<{ visibleIn: number }> {
    const current = epoch ?? (await this.status()).epoch;
    const { signingSeed } = identity;
    const body = combinedRegistration(
      this.#options.primitives,
      this.#scheme,
      signingSeed,
      payload,
      current + 1,
    );
    return this.#send(body, current, traffic);
  }

  /** Sends what nobody can tell from a registration, and makes nobody visible. */
  registerInvisible(identity: Identity, epoch?: number, traffic?: Traffic): Promise<{ visibleIn: number }> {
    const { primitives, combined = false } = this.#options;
    if (!combined) return this.register(identity, [], epoch, traffic);
    const nobody = { signingSeed: primitives.random(32) };
    return this.registerCombined(nobody, primitives.random(this.payloadBytes), epoch, traffic);
  }

  async #send(
    body: Uint8Array<ArrayBuffer>,
    epoch: number,
    traffic?: Traffic,
  ): Promise<{ visibleIn: number }> {
    const answer = await this.#regServer.exchange(`/register/${epoch}/`, body, ERROR_BYTES_MAX, traffic);
    const reply = answer.body;
    const isReply = reply.byteLength === REGISTRATION_REPLY_BYTES && [200, 400].includes(answer.status);
    if (!isReply) throw refused(`the registration server answered ${answer.status}`);
    const error = reply[0] as RegistrationError;
    if (error !== RegistrationError.ok) throw refused(`the registration server answered error ${error}`);
    const visibleIn = viewOf(reply).getUint32(1);
    if (visibleIn !== epoch + 1)
      throw refused(`the registration server is in epoch ${visibleIn - 1}, not ${epoch}`);
    return { visibleIn };
  }

  // --- lookup ----------------------------------------------------------------------------------------------------

  /** Looks all friends up in `epoch` (the current one). Throws NX_SERVERS_INSUFFICIENT or NX_SERVERS_INCONSISTENT. */
  async lookup(identity: Identity, friends: readonly Friend[], epoch?: number): Promise<LookupResult> {
    if (friends.length > this.maxBuddies)
      throw invalid(`${friends.length} friends; the service looks up ${this.maxBuddies}`);
    const { primitives, forcePir = false } = this.#options;
    const result: LookupResult = {
      epoch: epoch ?? (await this.status()).epoch,
      ...{ friends: [], dropped: [], liars: [], isDownload: false, traffic: { sent: 0, received: 0 } },
    };
    const metadata = await this.#metadata(result);
    const plan = planLookup(primitives, this.#scheme, identity, friends, metadata);
    result.isDownload = !forcePir && !isPirCheaper(metadata, this.#lookupServers.length, plan.rows.length);
    const bucketOf = result.isDownload
      ? await this.#download(metadata, result)
      : await this.#query(metadata, plan, result);
    result.friends = plan.targets.map((target) => this.#find(target, metadata, bucketOf(target)));
    return result;
  }

  #find(target: Target, metadata: Metadata, bucket: Uint8Array | undefined): FoundFriend {
    const { friend } = target;
    if (bucket === undefined) return { friend, state: "deferred", payload: undefined };
    const { recordBytes } = metadata;
    const { idBytes } = this.#scheme;
    let state: FriendState = "offline";
    let payload: Uint8Array | undefined;
    // Every record is looked at, whichever is the one. Version 2 may have several under one id: any that opens counts.
    for (let at = 0; at < bucket.byteLength; at += recordBytes) {
      if (!isEqual(bucket.subarray(at, at + idBytes), target.id) || state === "online") continue;
      payload = target.open(bucket.subarray(at + idBytes, at + recordBytes));
      state = payload === undefined ? "invalid" : "online";
    }
    return { friend, state, payload };
  }

  /** Sends to each server in parallel and keeps what `read` makes of the replies; others are dropped with the reason. */
  async #fromAll<Value>(
    servers: readonly Server[],
    bodyOf: (index: number) => Uint8Array<ArrayBuffer>,
    answerBytesMax: number,
    read: (reply: Uint8Array) => Value,
    result: LookupResult,
  ): Promise<{ server: Server; index: number; value: Value }[]> {
    const path = `/lookup/${result.epoch}/`;
    const outcomes = await Promise.all(
      servers.map(async (server, index) => {
        try {
          const answer = await server.exchange(path, bodyOf(index), answerBytesMax, result.traffic);
          if (answer.status !== 200) throw new Error(`it answered ${answer.status}`);
          return { server, index, value: read(answer.body) };
        } catch (error) {
          result.dropped.push({ server: server.name, reason: (error as Error).message });
          return undefined;
        }
      }),
    );
    return outcomes.filter((outcome) => outcome !== undefined);
  }

  async #metadata(result: LookupResult): Promise<Metadata> {
    const { version } = this.#scheme;
    const body = encodeLookup(LookupType.metadata, result.epoch);
    const read = (reply: Uint8Array) => {
      const metadata = decodeMetadataReply(reply, version, result.epoch);
      const isOfService = metadata !== undefined && this.#isOfService(metadata);
      if (!isOfService) throw new Error("its metadata is not valid for this service and epoch");
      return metadata;
    };
    const bytesMax = Math.max(ERROR_BYTES_MAX, METADATA_BYTES[version]);
    if (version === 3) {
      const answers = await this.#fromAll(this.#lookupServers, () => body, bytesMax, read, result);
      return this.#agreedMetadata(answers, result);
    }
    for (const server of this.#shuffled()) {
      const [answer] = await this.#fromAll([server], () => body, bytesMax, read, result);
      if (answer !== undefined) return answer.value;
    }
    throw insufficient("no server gave metadata", result);
  }

  #isOfService(metadata: Metadata): boolean {
    const { combined = false } = this.#options;
    const isShapeRight =
      metadata.sealedBytes === this.#scheme.sealedBytes && metadata.recordBytes === this.#scheme.recordBytes;
    return isShapeRight && metadata.isCombined === combined && metadata.maxBuddies === this.maxBuddies;
  }

  /** The metadata to go by: signed by the known key, or shown alike by t + 1 servers. */
  #agreedMetadata(answers: readonly { server: Server; value: Metadata }[], result: LookupResult): Metadata {
    const { primitives, serverKey } = this.#options;
    const groups = new Map<string, { metadata: Metadata; servers: Server[] }>();
    for (const { server, value } of answers) {
      if (!isSigned(primitives, value, serverKey)) {
        result.dropped.push({ server: server.name, reason: "its metadata is not signed as it should be" });
        continue;
      }
      const name = toHex(encodeMetadata(value));
      const group = groups.get(name) ?? { metadata: value, servers: [] };
      groups.set(name, { ...group, servers: [...group.servers, server] });
    }
    const bySize = [...groups.values()].sort((a, b) => b.servers.length - a.servers.length);
    const [first, second] = bySize;
    const needed = serverKey === undefined ? this.privacyLevel + 1 : 1;
    if (first === undefined || first.servers.length < needed)
      throw insufficient("too few servers show the same metadata", result);
    if (second !== undefined && serverKey !== undefined)
      throw new NxError(
        "NX_SERVERS_INCONSISTENT",
        "the registration server signed two databases for one epoch",
        {
          hint: "it equivocates, or its key is in other hands; keep the metadata of both lookup servers as evidence",
        },
      );
    if (second !== undefined && second.servers.length === first.servers.length)
      throw new NxError("NX_SERVERS_INCONSISTENT", "the servers show different metadata in equal numbers");
    for (const { servers } of bySize.slice(1)) for (const { name } of servers) result.liars.push(name);
    return first.metadata;
  }

  async #query(metadata: Metadata, plan: LookupPlan, result: LookupResult) {
    const { primitives, engine } = this.#options;
    const { rows, epoch } = metadata;
    const servers = this.#lookupServers;
    const points = choosePoints(servers.length, (length) => primitives.random(length));
    const coefficients = primitives.random(this.privacyLevel * plan.rows.length * rows);
    const shares = engine.share(points, this.privacyLevel, rows, plan.rows, coefficients);
    const answerBytes = plan.rows.length * rowBytes(metadata);
    const bodyOf = (index: number) =>
      encodeLookup(LookupType.pir, epoch, encodePirPayload(plan.rows.length, shares[index] as Uint8Array));
    const read = (reply: Uint8Array) => {
      if (!hasHead(reply, ReplyStatus.answers, epoch))
        throw new Error("its reply is an error or of another epoch");
      if (reply.byteLength !== LOOKUP_HEAD_BYTES + answerBytes)
        throw new Error("its reply has a wrong length");
      return reply.subarray(LOOKUP_HEAD_BYTES);
    };
    const replies = await this.#fromAll(servers, bodyOf, LOOKUP_HEAD_BYTES + answerBytes, read, result);
    if (replies.length <= this.privacyLevel)
      throw insufficient(`${replies.length} servers answered, ${this.privacyLevel + 1} are needed`, result);
    const answers = replies.map(({ server, index, value }): ServerAnswer => ({
      server: server.name,
      point: points[index] as number,
      answers: value,
    }));
    const { privacyLevel } = this;
    const context = { engine, primitives, metadata, privacyLevel, rows: plan.rows };
    const { buckets, liars } =
      answerBytes === 0
        ? { buckets: plan.rows.map(() => new Uint8Array(0)), liars: [] }
        : openAnswers(context, answers);
    result.liars.push(...liars.filter((name) => !result.liars.includes(name)));
    return (target: Target) => (target.query === undefined ? undefined : buckets[target.query]);
  }

  /** Fetches the whole database from one server after another until one sends the right one. */
  async #download(metadata: Metadata, result: LookupResult) {
    const { primitives } = this.#options;
    const { epoch } = metadata;
    const bytes = dataBytes(metadata);
    const body = encodeLookup(LookupType.database, epoch);
    const read = (reply: Uint8Array) => {
      if (!hasHead(reply, ReplyStatus.database, epoch))
        throw new Error("its reply is an error or of another epoch");
      const data = reply.subarray(LOOKUP_HEAD_BYTES);
      if (data.byteLength !== bytes) throw new Error("its database has a wrong length");
      return data;
    };
    for (const server of this.#shuffled()) {
      const [answer] = await this.#fromAll([server], () => body, LOOKUP_HEAD_BYTES + bytes, read, result);
      if (answer === undefined) continue;
      const { proof } = metadata;
      if (proof !== undefined && !isEqual(primitives.sha256(answer.value), proof.digest)) {
        result.liars.push(server.name);
        continue;
      }
      return (target: Target) => this.#bucketOf(target, metadata, answer.value);
    }
    throw insufficient("no server sent the database", result);
  }

  #bucketOf(target: Target, metadata: Metadata, data: Uint8Array): Uint8Array {
    const { bucket, partitions } = placeOf(this.#options.primitives, metadata.prfKey, target.id, metadata);
    const stride = rowBytes(metadata);
    // In the batch layout every partition that a record may be in holds it.
    const index = (isBatched(metadata) ? (partitions[0] as number) * metadata.rows : 0) + bucket;
    return data.subarray(
      index * stride,
      Math.max(index * stride, (index + 1) * stride - metadata.proofBytes),
    );
  }

  #shuffled(): Server[] {
    const { primitives } = this.#options;
    return this.#lookupServers
      .map((server) => ({ server, order: primitives.random(8) }))
      .sort((a, b) => compareBytes(a.order, b.order))
      .map(({ server }) => server);
  }
}

function hasHead(reply: Uint8Array, status: number, epoch: number): boolean {
  return reply.byteLength >= LOOKUP_HEAD_BYTES && reply[0] === status && viewOf(reply).getUint32(1) === epoch;
}

function checkedLevel(level: number | undefined, servers: number): number {
  if (servers < 2) throw invalid("lookupServers: wanted at least 2 addresses");
  const chosen = level ?? servers - 1;
  if (Number.isInteger(chosen) && chosen >= 1 && chosen < servers) return chosen;
  throw invalid(
    `privacyLevel: wanted an integer from 1 to ${servers - 1} with ${servers} lookupServers, got ${chosen}`,
  );
}

const invalid = (message: string) => new NxError("NX_CONFIG_INVALID", message);
const refused = (message: string) => new NxError("NX_REGISTRATION_REFUSED", message);

function insufficient(message: string, { dropped }: LookupResult): NxError {
  const reasons = dropped.map(({ server, reason }) => `${server}: ${reason}`).join("; ");
  return new NxError(
    "NX_SERVERS_INSUFFICIENT",
    `insufficient servers: ${message}${reasons && ` (${reasons})`}`,
    {
      hint: "start the servers that are down, or lower privacyLevel if you trust the others not to collude",
    },
  );
}
