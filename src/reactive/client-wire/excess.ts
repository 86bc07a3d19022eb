/**
 * What is over the protocol's limits, found before it is sent: a frontend would take it for garbage and end the connection, with everything else
 * that is under way on it.
 */
import { KEY_BYTES_MAX } from "../shard/transaction.ts";
import { type ClientMessage, type FailureCode, limits } from "./messages.ts";

export interface Excess {
  code: FailureCode;
  text: string;
}

type WithoutNumber<Message> = Message extends { request: number } ? Omit<Message, "request"> : never;

const tooMany = (count: number, max: number, what: string): Excess | undefined =>
  count > max ? { code: "tooMany", text: `${count} ${what}; ${max} are allowed` } : undefined;

/** Undefined: nothing. */
export function excessOf(message: WithoutNumber<ClientMessage>): Excess | undefined {
  switch (message.type) {
    case "read":
    case "readInTurn":
    case "resolve":
      return tooMany(message.keys.length, limits.keysMax, "keys");
    case "watch":
      return (
        tooMany(message.keys.length, limits.keysMax, "keys") ??
        tooMany(message.prefixes.length, limits.prefixesMax, "prefixes") ??
        tooLong(...message.prefixes)
      );
    case "scan":
      return tooLong(message.prefix, message.after);
    case "commit": {
      const { accesses } = message.transaction;
      const parts = accesses.reduce((most, { reads }) => Math.max(most, reads.length), 0);
      return (
        tooMany(accesses.length, limits.keysMax, "keys") ??
        tooMany(parts, limits.keysMax, "parts of one key that were read")
      );
    }
  }
  return undefined;
}

function tooLong(...prefixes: readonly Uint8Array[]): Excess | undefined {
  const long = prefixes.find(({ byteLength }) => byteLength > KEY_BYTES_MAX);
  if (long === undefined) return undefined;
  return {
    code: "tooLarge",
    text: `${long.byteLength} bytes of a key; none has more than ${KEY_BYTES_MAX}`,
  };
}
