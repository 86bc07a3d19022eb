/** What can go wrong for whoever uses the client. Each class says whether anything happened and what to do. */
import type { FailureCode } from "../client-wire/messages.ts";
import type { Refusal } from "../shard/commands.ts";

/** A transaction was refused again and again, or its code called `abort`. Nothing of it happened. */
export class AbortedError extends Error {
  /** `byUser`: its own code gave up. */
  readonly reason: Refusal | "aborted" | "byUser";

  constructor(reason: Refusal | "aborted" | "byUser", message: string) {
    super(message);
    this.name = "AbortedError";
    this.reason = reason;
  }
}

/** Nobody answered in time. The transaction is committed or it is not; `resolve` of the client finds out and ends it. */
export class OutcomeUnknownError extends Error {
  readonly transaction: { client: number; number: number };
  /** Keys that it wrote. */
  readonly keys: readonly string[];

  constructor(transaction: { client: number; number: number }, keys: readonly string[]) {
    super("nobody said in time whether the transaction is committed: ask with client.resolve(error)");
    this.name = "OutcomeUnknownError";
    this.transaction = transaction;
    this.keys = keys;
  }
}

/** No frontend could be reached in time. Nothing happened. */
export class UnavailableError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "UnavailableError";
  }
}

/** A frontend refused a request, for a reason that does not go away by itself. Nothing happened. */
export class RequestError extends Error {
  readonly code: FailureCode;

  constructor(code: FailureCode, message: string) {
    super(message);
    this.name = "RequestError";
    this.code = code;
  }
}

/** `storage` did not keep what it was given. Nothing of that was sent. */
export class StorageError extends Error {
  constructor(cause: unknown) {
    super(`the client's log cannot be written: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
    this.name = "StorageError";
  }
}

export class ClosedError extends Error {
  constructor() {
    super("the client is closed");
    this.name = "ClosedError";
  }
}
