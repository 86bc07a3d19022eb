/** Keys by their prefix. */
import { limits, NOW } from "../client-wire/messages.ts";
import { decodeValue } from "../shard/operations.ts";
import type { Ask } from "./store-view.ts";
import type { Entry } from "./transaction-handle.ts";
import { fromUtf8, toUtf8 } from "./types/encodings.ts";

export interface ListOptions {
  /** Goes on behind this key. */
  after?: string;
  /** At most so many keys. */
  limit?: number;
  /** As of this timestamp; absent: now. */
  at?: number;
}

export interface Listed {
  timestamp: number;
  /** There are more behind the last one. */
  isMore: boolean;
  entries: Entry[];
}

const LIMIT_DEFAULT = 100;

export async function listKeys(
  ask: Ask,
  prefix: string,
  { after = "", limit = LIMIT_DEFAULT, at = NOW }: ListOptions,
): Promise<Listed> {
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > limits.scanCountMax)
    throw new RangeError(`limit: 1 to ${limits.scanCountMax}, not ${limit}`);
  if (!Number.isSafeInteger(at) || at < 0) throw new RangeError(`at: a timestamp, not ${at}`);
  const answer = await ask({
    ...{ type: "scan", at, prefix: toUtf8(prefix), after: toUtf8(after), countMax: limit },
  });
  if (answer.type !== "scanned") throw new Error(`a frontend answered a scan with "${answer.type}"`);
  return {
    timestamp: answer.at,
    isMore: answer.isMore,
    entries: answer.entries.map(({ key, start, type, value }) => ({
      key: fromUtf8(key),
      version: start,
      value: decodeValue(type, value),
    })),
  };
}
