/**
 * Who may use the neo protocol, and how a client shows that it is who it says.
 *
 * The file has a line `name:hex` for each client, 256 hex digits, 128 bytes, of its secret; a client's own file has one. It is
 * read as a whole or not at all: with a mistake in it nothing changes. Secrets stay in memory and are never logged.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { NxError } from "../../../core/errors.ts";
import { readPrivateFile } from "../../../core/secret-file.ts";

export const SECRET_BYTES = 128;
export const CODE_BYTES = 64;
const FILE_BYTES_MAX = 10_000_000;
/** How far the clocks of client and node may be apart. */
const CLOCK_SKEW_SECONDS_MAX = 30 * 60;
/** The client of this name may remove channels. */
export const ADMINISTRATOR = "admin";

export interface Credential {
  name: string;
  secret: Uint8Array;
}

/** 1 to 100 printable ASCII characters without blanks. */
const isName = (name: string) => /^[\x21-\x7e]{1,100}$/.test(name);

/** Throws NX_SECRET_UNUSABLE with the line. */
export function parseCredentials(text: string, path: string): Map<string, Uint8Array> {
  const credentials = new Map<string, Uint8Array>();
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  for (const [index, line] of lines.entries()) {
    const mistake = (what: string) =>
      new NxError("NX_SECRET_UNUSABLE", `${path}:${index + 1}: ${what}`, {
        hint: "a line is name:hex, the name without blanks, 256 hex digits; `openssl rand -hex 128` makes them",
      });
    const colon = line.lastIndexOf(":");
    const [name, hex] = [line.slice(0, Math.max(colon, 0)), line.slice(colon + 1)];
    if (colon < 0 || !isName(name)) throw mistake("wanted name:hex");
    if (!/^[0-9a-fA-F]{256}$/.test(hex)) throw mistake(`the secret of ${name} is not 256 hex digits`);
    if (credentials.has(name)) throw mistake(`${name} is given twice`);
    credentials.set(name, Buffer.from(hex, "hex"));
  }
  return credentials;
}

/** Reads a file of credentials, which must be private to its owner. Throws NX_SECRET_UNUSABLE. */
export function readCredentials(path: string): Map<string, Uint8Array> {
  return parseCredentials(readPrivateFile(path, FILE_BYTES_MAX), path);
}

/** The one credential of a client's file. */
export function readOwnCredential(path: string): Credential {
  const [first, ...more] = readCredentials(path);
  if (first === undefined || more.length > 0)
    throw new NxError("NX_SECRET_UNUSABLE", `${path}: a client's file has exactly one line`);
  return { name: first[0], secret: first[1] };
}

/** What a client answers to the node's nonce. */
export function codeOf(secret: Uint8Array, time: Uint8Array, nonce: Uint8Array): Buffer {
  return createHmac("sha512", secret).update(time).update(nonce).digest();
}

/** Seconds since 1970 that a client may have sent. */
export function isTimely(seconds: bigint, nowMs: number): boolean {
  const now = BigInt(Math.floor(nowMs / 1000));
  const skew = BigInt(CLOCK_SKEW_SECONDS_MAX);
  return seconds > 0n && seconds <= 2n ** 63n - 1n && seconds >= now - skew && seconds <= now + skew;
}

/** Takes the same time for names that are known and those that are not. */
export function isAuthentic(
  credentials: ReadonlyMap<string, Uint8Array>,
  { name, code }: { name: string; code: Uint8Array },
  time: Uint8Array,
  nonce: Uint8Array,
): boolean {
  const secret = credentials.get(name);
  const wanted = codeOf(secret ?? new Uint8Array(SECRET_BYTES), time, nonce);
  return code.byteLength === CODE_BYTES && timingSafeEqual(wanted, code) && secret !== undefined;
}
