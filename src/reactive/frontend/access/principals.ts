/**
 * Who a client is: the token that it shows names its principal.
 *
 * Invariant: tokens are compared as digests, each with each, in a time that tells nothing about them, and are kept only as
 * digests. A file of tokens is read as a whole or not at all. Who came in with a token is in no longer than the token counts.
 *
 *   # a line for each: the principal's name, one or more blanks, the token
 *   alice  4f1c…
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { NxError } from "../../../core/errors.ts";
import { readPrivateFile, readSecret } from "../../../core/secret-file.ts";

/** Who comes without a token where none is wanted. */
export const ANYBODY = "";
/** Who shows the token of `clientTokenFile`. */
export const CLIENT = "client";

/** Somebody, and the token by which he was known. */
export interface Identity {
  readonly name: string;
  /** Undefined: no token was wanted. */
  readonly digest: Buffer | undefined;
}

const FILE_BYTES_MAX = 10_000_000;
const TOKEN_LENGTH_MIN = 16;

const digestOf = (token: string) => createHash("sha256").update(token).digest();

export class Principals {
  #known: (Identity & { digest: Buffer })[] | undefined;

  /** Undefined: nobody has to say who he is. An empty map: nobody may come. */
  constructor(tokens: ReadonlyMap<string, string> | undefined) {
    this.#known =
      tokens === undefined
        ? undefined
        : [...tokens].map(([name, token]) => ({ name, digest: digestOf(token) }));
  }

  /** From now on these are known. Whoever is in has to be looked at again (`isKnown`). */
  replaceBy(other: Principals): void {
    this.#known = other.#known;
  }

  /** Whose token it is; undefined: nobody's. */
  of(token: string): Identity | undefined {
    if (this.#known === undefined) return { name: ANYBODY, digest: undefined };
    const digest = digestOf(token);
    let found: Identity | undefined;
    for (const each of this.#known) if (timingSafeEqual(each.digest, digest)) found = each;
    return found;
  }

  /** Whether the token by which somebody came in still is that principal's. */
  isKnown({ name, digest }: Identity): boolean {
    if (this.#known === undefined) return digest === undefined;
    return this.#known.some(
      (each) => each.name === name && digest !== undefined && each.digest.equals(digest),
    );
  }
}

/** Throws NX_SECRET_UNUSABLE with the line. */
export function parseTokens(text: string, path: string): Map<string, string> {
  const tokens = new Map<string, string>();
  const names = new Map<string, string>();
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (/^\s*(#|$)/.test(line)) continue;
    const [name = "", token = "", ...more] = line.trim().split(/\s+/);
    const mistake = (what: string) =>
      new NxError("NX_SECRET_UNUSABLE", `${path}:${index + 1}: ${what}`, {
        hint: "a line is a name, a blank and a token; `openssl rand -hex 32` makes tokens",
      });
    if (!/^[A-Za-z0-9][A-Za-z0-9._@-]{0,99}$/.test(name) || more.length > 0)
      throw mistake("wanted a name and a token");
    if (token.length < TOKEN_LENGTH_MIN)
      throw mistake(`the token of ${name} is shorter than ${TOKEN_LENGTH_MIN} characters`);
    if (tokens.has(name)) throw mistake(`${name} is given twice`);
    const other = names.get(token);
    if (other !== undefined) throw mistake(`${name} has the token of ${other}: nobody could tell them apart`);
    tokens.set(name, token);
    names.set(token, name);
  }
  return tokens;
}

/** The principals of a configuration. Throws NX_SECRET_UNUSABLE. */
export function readPrincipals(config: {
  clientTokenFile?: string | undefined;
  clientTokensFile?: string | undefined;
}): Principals {
  const { clientTokenFile, clientTokensFile } = config;
  if (clientTokenFile === undefined && clientTokensFile === undefined) return new Principals(undefined);
  const tokens =
    clientTokensFile === undefined
      ? new Map<string, string>()
      : parseTokens(readPrivateFile(clientTokensFile, FILE_BYTES_MAX), clientTokensFile);
  if (clientTokenFile === undefined) return new Principals(tokens);
  const token = readSecret("clientTokenFile", clientTokenFile);
  if (token.length < TOKEN_LENGTH_MIN)
    throw new NxError(
      "NX_SECRET_UNUSABLE",
      `${clientTokenFile}: the token is shorter than ${TOKEN_LENGTH_MIN} characters`,
      { hint: "`openssl rand -hex 32` makes tokens" },
    );
  if (tokens.has(CLIENT) || [...tokens.values()].includes(token))
    throw new NxError(
      "NX_SECRET_UNUSABLE",
      `${clientTokensFile}: "${CLIENT}" and its token are those of clientTokenFile`,
      { hint: "give the principal another name, and each a token of its own" },
    );
  tokens.set(CLIENT, token);
  return new Principals(tokens);
}
