/**
 * Files of made-up users for the harness: keys, and who is whose friend.
 *
 *   {"version": 1, "users": [{"pub", "priv", "signPub", "signSeed": hex digits, "buddies": [index, …]}, …]}
 *
 * Invariant: the same seed gives the same file. Private keys of such a file protect nobody: they are for tests.
 */
import { z } from "zod";
import { NxError } from "../core/errors.ts";
import { realRandom, seededRandom } from "../core/seams/random.ts";
import { Identity, type Friend } from "./client.ts";
import { fromHex, toHex } from "./protocol/bytes.ts";
import type { Primitives } from "./protocol/primitives.ts";

const key = z.string().regex(/^[0-9a-f]{64}$/);

const usersFile = z.strictObject({
  version: z.literal(1),
  users: z.array(
    z.strictObject({ pub: key, priv: key, signPub: key, signSeed: key, buddies: z.array(z.int().min(0)) }),
  ),
});

export type UsersFile = z.output<typeof usersFile>;

/** `count` users, each with min(`buddies`, `count`) different friends drawn from all, possibly itself. */
export function makeUsers(primitives: Primitives, count: number, buddies: number, seed?: number): UsersFile {
  const random = seed === undefined ? realRandom : seededRandom(seed);
  const users = Array.from({ length: count }, () => {
    const [priv, signSeed] = [random.bytes(32), random.bytes(32)];
    const order = Array.from({ length: count }, (_, index) => index);
    const friends = Array.from({ length: Math.min(buddies, count) }, (_, taken) => {
      const other = taken + random.integer(count - taken);
      [order[taken], order[other]] = [order[other] as number, order[taken] as number];
      return order[taken] as number;
    });
    return {
      pub: toHex(primitives.x25519PublicKey(priv)),
      priv: toHex(priv),
      signPub: toHex(primitives.ed25519PublicKey(signSeed)),
      signSeed: toHex(signSeed),
      buddies: friends,
    };
  });
  return { version: 1, users };
}

/** One user of the harness. */
export interface TestUser {
  identity: Identity;
  /** Positions of friends among all users. */
  buddies: number[];
}

/** Reads a file's text. Throws NX_INPUT_INVALID. */
export function parseUsers(primitives: Primitives, path: string, text: string): TestUser[] {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw notUsers(path, (error as Error).message);
  }
  const parsed = usersFile.safeParse(json);
  if (!parsed.success) throw notUsers(path, z.prettifyError(parsed.error).split("\n")[0] ?? "");
  const { users } = parsed.data;
  return users.map(({ priv, signSeed, buddies }, index) => {
    const stranger = buddies.find((buddy) => buddy >= users.length);
    if (stranger !== undefined)
      throw notUsers(path, `user ${index} has the friend ${stranger}, who is not there`);
    const privateKey = fromHex(priv) as Uint8Array;
    const identity = new Identity(primitives, { privateKey, signingSeed: fromHex(signSeed) as Uint8Array });
    return { identity, buddies };
  });
}

/** Another user as a friend, by the key that the mode uses. */
export function friendOf({ identity }: TestUser, isCombined: boolean): Friend {
  return { publicKey: isCombined ? identity.signingPublicKey : identity.publicKey };
}

function notUsers(path: string, reason: string): NxError {
  return new NxError("NX_INPUT_INVALID", `${path} is not a file of users: ${reason}`, {
    hint: "`node-x presence users 200 users.200` makes one",
  });
}
