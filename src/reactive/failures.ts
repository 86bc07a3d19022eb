/** How a request to a store can fail so that its client is told what to do: each name says whether anything may have happened. */

/** Whether it was executed is not known. */
export class OutcomeUnknownError extends Error {
  constructor(reason: string) {
    super(`the outcome is unknown: ${reason}`);
    this.name = "OutcomeUnknownError";
  }
}

/** Refused; nothing was done. */
export class RefusedError extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = "RefusedError";
  }
}

/** Reads at a timestamp whose versions are no longer kept. */
export class TooOldError extends Error {
  /** `horizon`: where what is kept begins; undefined: nobody says. */
  constructor(timestamp: number, horizon?: number) {
    const begins = horizon === undefined ? "" : `, which begins at ${horizon}`;
    super(`timestamp ${timestamp} is older than what is kept${begins}: read again without one`);
    this.name = "TooOldError";
  }
}

/** The client has seen what nobody has written. */
export class FutureError extends Error {
  constructor(at: number) {
    super(`timestamp ${at} was never issued`);
    this.name = "FutureError";
  }
}

/** Over a limit, of the protocol or of the engine below: it will never be done as it is. Nothing was done. */
export class LimitError extends Error {
  readonly code: "tooMany" | "tooLarge";

  constructor(code: LimitError["code"], message: string) {
    super(message);
    this.name = "LimitError";
    this.code = code;
  }
}
