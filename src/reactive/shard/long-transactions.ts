/**
 * Transactions with very many keys: found without reading all of them, and read step by step.
 *
 * Invariant: what is read in steps is what `decodeCommand` would have read, and what that refuses is refused.
 */
import type { Steps } from "../replication/steps.ts";
import { ByteReader, WireError } from "../wire/bytes.ts";
import { nameOf } from "../wire/key-name.ts";
import { decodeCommand, isAtOnce, isPrepare, type OutcomeCommand, outcomesIn, passAtOnceHead } from "./commands.ts"; // prettier-ignore
import { type Access, namesTwice, readAccess, readAccessCount, readHead, type Transaction } from "./transaction.ts"; // prettier-ignore

/** More keys than these take longer than others should have to wait: some milliseconds. */
export const STEP_ACCESSES = 1000;

/** How many accesses a command brings, as far as it can be read. */
function accessesIn(body: Uint8Array): number {
  try {
    const reader = beginReading(body);
    readHead(reader);
    return readAccessCount(reader);
  } catch (error) {
    if (error instanceof WireError) return 0;
    throw error;
  }
}

/** Behind what stands before the transaction. */
function beginReading(body: Uint8Array): ByteReader {
  const reader = new ByteReader(body);
  reader.u8();
  if (isAtOnce(body)) passAtOnceHead(reader);
  return reader;
}

/** Whether a command brings a transaction with more accesses than these. */
export function isLongerThan(accesses: number, body: Uint8Array): boolean {
  if (!isPrepare(body) && !isAtOnce(body)) return false;
  // An access has a byte at least.
  return body.byteLength > accesses && accessesIn(body) > accesses;
}

/** What a command asks of transactions that were brought before; one that cannot be read is answered when its turn comes. */
export function outcomesOf(body: Uint8Array): readonly OutcomeCommand[] {
  try {
    return outcomesIn(decodeCommand(body));
  } catch (error) {
    if (error instanceof WireError) return [];
    throw error;
  }
}

/** The transaction of a `prepare`. Throws WireError. */
export function* readPrepareInSteps(body: Uint8Array, stepAccesses: number): Steps<Transaction> {
  const reader = beginReading(body);
  const head = readHead(reader);
  const accesses: Access[] = [];
  const names = new Set<string>();
  for (let left = readAccessCount(reader); left > 0; left--) {
    const access = readAccess(reader);
    accesses.push(access);
    names.add(nameOf(access.key));
    if (accesses.length % stepAccesses === 0) yield;
  }
  if (names.size < accesses.length) throw namesTwice();
  reader.end();
  return { ...head, accesses };
}

/** A transaction with some of its accesses at a time; whole if it is short. */
export function* inParts(transaction: Transaction, stepAccesses: number): Generator<Transaction, void> {
  const { accesses } = transaction;
  if (accesses.length <= stepAccesses) {
    yield transaction;
    return;
  }
  for (let place = 0; place < accesses.length; place += stepAccesses)
    yield { ...transaction, accesses: accesses.slice(place, place + stepAccesses) };
}
