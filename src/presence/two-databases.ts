/**
 * The two-database system: short-term keys travel through a long-term service, statuses through a short-term one.
 *
 * In each long epoch a user makes a fresh Ed25519 key for the next one and registers its public half for each friend (a
 * record per pair). In each short epoch the user registers one signed status under the key of the long epoch that the
 * short one lies in (combined mode). Friends fetch the keys once per long epoch, the statuses once per short one.
 *
 * Invariant: a short-term key serves one long epoch and is forgotten behind it, so keys that are taken later open
 * nothing. A friend who was left out at a registration has no key from the next long epoch on, and cannot tell that from
 * the user being offline.
 */
import { NxError } from "../core/errors.ts";
import {
  Identity,
  PresenceClient,
  type ClientOptions,
  type FoundFriend,
  type Friend,
  type Traffic,
} from "./client.ts";
import { isGroupKey } from "./protocol/blinding.ts";
import { toHex } from "./protocol/bytes.ts";
import type { Primitives } from "./protocol/primitives.ts";

/** Length of a short-term public key, the status of the long-term service. */
export const SHORT_TERM_KEY_BYTES = 32;

export interface TwoDatabaseOptions {
  /** The long-term service: a record per pair, statuses of 32 bytes. */
  standard: ClientOptions;
  /** The short-term service, in combined mode. */
  combined: ClientOptions;
  longEpochSeconds: number;
  shortEpochSeconds: number;
}

interface ShortTermKey {
  seed: Uint8Array;
  publicKey: Uint8Array;
}

/** One user of both services. */
export class TwoDatabaseUser {
  readonly #options: TwoDatabaseOptions;
  readonly #primitives: Primitives;
  readonly #identity: Identity;
  readonly #long: PresenceClient;
  readonly #short: PresenceClient;
  /** Own short-term keys by long epoch; only the current and the next one are kept. */
  readonly #own = new Map<number, ShortTermKey>();
  /** Friends' short-term keys of one long epoch, by their long-term key. */
  #friendKeys: { longEpoch: number; keys: Map<string, Uint8Array> } | undefined;
  readonly traffic: Traffic = { sent: 0, received: 0 };

  constructor(identity: Identity, options: TwoDatabaseOptions) {
    const { standard, combined } = options;
    if (standard.payloadBytes !== SHORT_TERM_KEY_BYTES || standard.combined === true)
      throw new NxError(
        "NX_CONFIG_INVALID",
        "standard: wanted a service with statuses of 32 bytes, a record per pair",
        {
          hint: 'set "payloadBytes": 32 in the configuration of its servers',
        },
      );
    if (combined.combined !== true)
      throw new NxError("NX_CONFIG_INVALID", "combined: wanted a service in combined mode", {
        hint: 'set "combined": true in the configuration of its servers',
      });
    this.#options = options;
    this.#primitives = standard.primitives;
    this.#identity = identity;
    this.#long = new PresenceClient(standard);
    this.#short = new PresenceClient(combined);
  }

  /** The long epoch that a short one lies in. */
  longEpochOf(shortEpoch: number): number {
    const { longEpochSeconds, shortEpochSeconds } = this.#options;
    return Math.floor((shortEpoch * shortEpochSeconds) / longEpochSeconds);
  }

  /** Once per long epoch: gives these friends the key of the next one. Friends who are left out are suspended. */
  async announce(friends: readonly Friend[], longEpoch: number): Promise<void> {
    const key = this.#ownKey(longEpoch + 1);
    for (const epoch of this.#own.keys()) if (epoch < longEpoch) this.#own.delete(epoch);
    const announcements = friends.map((friend) => ({ friend, payload: key.publicKey }));
    await this.#long.register(this.#identity, announcements, longEpoch, this.traffic);
  }

  /** Once per short epoch: sets the status of the next one. Without a status, or a key of that time, invisibly. */
  async setStatus(status: Uint8Array | undefined, shortEpoch: number): Promise<void> {
    const key = this.#own.get(this.longEpochOf(shortEpoch + 1));
    if (status === undefined || key === undefined)
      await this.#short.registerInvisible(this.#identity, shortEpoch, this.traffic);
    else await this.#short.registerCombined({ signingSeed: key.seed }, status, shortEpoch, this.traffic);
  }

  /** Once per long epoch: learns the keys of friends who announced themselves to this user. */
  async fetchKeys(friends: readonly Friend[], longEpoch: number): Promise<void> {
    const result = await this.#long.lookup(this.#identity, friends, longEpoch);
    this.#count(result.traffic);
    const keys = new Map<string, Uint8Array>();
    for (const { friend, payload } of result.friends)
      if (payload !== undefined && isGroupKey(payload)) keys.set(toHex(friend.publicKey), payload);
    this.#friendKeys = { longEpoch, keys };
  }

  /** Once per short epoch: the friends' states. Sends as much as ever, however many keys are known. */
  async lookUp(friends: readonly Friend[], shortEpoch: number): Promise<FoundFriend[]> {
    const known =
      this.#friendKeys?.longEpoch === this.longEpochOf(shortEpoch) ? this.#friendKeys.keys : undefined;
    const withKeys = friends.flatMap((friend) => {
      const publicKey = known?.get(toHex(friend.publicKey));
      return publicKey === undefined ? [] : [{ friend, shortTerm: { publicKey } }];
    });
    const result = await this.#short.lookup(
      this.#identity,
      withKeys.map(({ shortTerm }) => shortTerm),
      shortEpoch,
    );
    this.#count(result.traffic);
    const found = new Map(
      withKeys.map(({ friend }, index) => [friend, result.friends[index] as FoundFriend]),
    );
    return friends.map((friend) => {
      const seen = found.get(friend);
      return seen === undefined ? { friend, state: "offline", payload: undefined } : { ...seen, friend };
    });
  }

  #ownKey(longEpoch: number): ShortTermKey {
    let key = this.#own.get(longEpoch);
    if (key === undefined) {
      const seed = this.#primitives.random(32);
      key = { seed, publicKey: this.#primitives.ed25519PublicKey(seed) };
      this.#own.set(longEpoch, key);
    }
    return key;
  }

  #count({ sent, received }: Traffic): void {
    this.traffic.sent += sent;
    this.traffic.received += received;
  }
}
