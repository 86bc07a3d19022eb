/**
 * Answers the requests of one client that are about the store, not about its watches.
 *
 * Invariant: each is answered once, with its own number: with what was asked, or with a failure whose code says whether
 * anything may have happened.
 */
import {
  type ClientMessage,
  COMMITTED,
  type FailureCode,
  NEWEST,
  NOW,
  type ServerMessage,
} from "../../client-wire/messages.ts";
import { FutureError, LimitError, OutcomeUnknownError, RefusedError, TooOldError } from "../../failures.ts";
import type { GuardedStore } from "../access/guarded-store.ts";
import { AccessError } from "../access/tables.ts";
import type { Place } from "./turns.ts";

export type StoreRequest = Extract<
  ClientMessage,
  { type: "begin" | "read" | "readInTurn" | "scan" | "commit" | "resolve" }
>;

export async function answer(
  store: GuardedStore,
  principal: string,
  message: StoreRequest,
  place?: Place,
): Promise<ServerMessage> {
  const { request } = message;
  switch (message.type) {
    case "begin":
      return { type: "begun", request, at: await store.engine.nextTimestamp() };
    case "read":
      return read(store, principal, message);
    case "readInTurn":
      return readInTurn(store, principal, message, place);
    case "scan": {
      const { prefix, after, countMax } = message;
      const range = { prefix, after: after.byteLength === 0 ? undefined : after };
      const found = await store.scan(principal, range, countMax, momentOf(message.at));
      const entries = found.entries.map(({ key, start, next, type, value }) => ({
        key,
        start,
        end: next > 0 ? next - 1 : Math.max(start, found.timestamp),
        type,
        value,
      }));
      return { type: "scanned", request, at: found.timestamp, isMore: found.isMore, entries };
    }
    case "commit": {
      const { transaction } = message;
      const commit = () => store.commit(principal, transaction);
      const outcome = place === undefined ? await commit() : await place.commit(transaction, commit);
      return { type: "settled", request, outcome };
    }
    case "resolve":
      if (message.keys.length === 0)
        throw new LimitError("tooMany", "a transaction without keys has no home");
      return {
        type: "settled",
        request,
        outcome: await store.resolve(principal, message.id, message.keys),
      };
  }
}

async function read(
  store: GuardedStore,
  principal: string,
  { request, at, keys }: Extract<ClientMessage, { type: "read" }>,
): Promise<ServerMessage> {
  const { timestamp, versions } = await readAt(store, principal, keys, at);
  return { type: "values", request, at: timestamp, versions };
}

/** Who may not write a key cannot keep others from writing it. */
function readInTurn(
  store: GuardedStore,
  principal: string,
  message: Extract<ClientMessage, { type: "readInTurn" }>,
  place: Place | undefined,
): Promise<ServerMessage> {
  const { request, keys } = message;
  const readNow = () => read(store, principal, { type: "read", request, at: NOW, keys });
  const isForTurns = place !== undefined && store.tables.mayWrite(principal, keys);
  return isForTurns ? place.read(message, readNow) : readNow();
}

function readAt(store: GuardedStore, principal: string, keys: readonly Uint8Array[], at: number) {
  if (at === COMMITTED) return store.readCommitted(principal, keys);
  if (at === NEWEST) return store.readNewest(principal, keys);
  return store.read(principal, keys, momentOf(at));
}

const isName = (at: number) => at === NOW || at === NEWEST || at === COMMITTED;

const momentOf = (at: number) => (isName(at) ? undefined : at);

/** The failure that a client is told of. Undefined: a defect of ours. */
export function failureOf(error: unknown): { code: FailureCode; text: string } | undefined {
  if (!(error instanceof Error)) return undefined;
  const text = error.message;
  if (error instanceof AccessError || error instanceof LimitError) return { code: error.code, text };
  if (error instanceof TooOldError) return { code: "tooOld", text };
  if (error instanceof OutcomeUnknownError) return { code: "unknownOutcome", text };
  if (error instanceof RefusedError) return { code: "unavailable", text };
  if (error instanceof FutureError) return { code: "protocol", text };
  return undefined;
}
