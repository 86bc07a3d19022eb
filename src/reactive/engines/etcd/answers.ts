/**
 * What etcd says when it does not do what was asked, sorted by what is to be done about it.
 *
 * Invariant: an answer that is not known to be final counts as none at all: it is asked again, and if that is in vain, the outcome
 * is unknown.
 */
import { LimitError, RefusedError } from "../../failures.ts";

/** gRPC's codes, as far as they are told apart. */
const Code = {
  unknown: 2,
  deadlineExceeded: 4,
  notFound: 5,
  cancelled: 1,
  resourceExhausted: 8,
  aborted: 10,
  outOfRange: 11,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16,
} as const;

/** Another member, or the same one later, may answer it. It may have been done. */
export class NoAnswerError extends Error {
  /** It never reached a member. */
  readonly isUnsent: boolean;

  constructor(reason: string, isUnsent = false) {
    super(reason);
    this.name = "NoAnswerError";
    this.isUnsent = isUnsent;
  }
}

/** The token is not known, or no longer. */
export class TokenError extends Error {}

/** The revision is compacted: etcd no longer has it. */
export class CompactedError extends Error {}

/** The revision is one that etcd has not reached. */
export class FutureRevisionError extends Error {}

/** The lease has expired. */
export class LeaseError extends Error {}

const passing = new Set<number>([
  Code.unknown,
  Code.cancelled,
  Code.deadlineExceeded,
  Code.aborted,
  Code.internal,
  Code.unavailable,
]);

/** The error of an answer that is none. `body`: what the gateway says, `{ error, code }`. */
export function failureOf(status: number, body: unknown): Error {
  const { code, text } = partsOf(status, body);
  if (code === Code.unauthenticated || /invalid auth token|user name is empty|old auth/i.test(text))
    return new TokenError(text);
  if (/compacted/.test(text)) return new CompactedError(text);
  if (/future revision/.test(text)) return new FutureRevisionError(text);
  if (code === Code.notFound && /lease/.test(text)) return new LeaseError(text);
  if (/too large|larger than max/.test(text)) return new LimitError("tooLarge", `etcd: ${text}`);
  if (/too many operations/.test(text)) return new LimitError("tooMany", `etcd: ${text}`);
  if (/too many requests/.test(text) || code === undefined || passing.has(code))
    return new NoAnswerError(text);
  return new RefusedError(`etcd refuses: ${text}${adviceOn(text)}`);
}

function partsOf(status: number, body: unknown): { code: number | undefined; text: string } {
  const { error, message, code } = (body ?? {}) as Record<string, unknown>;
  const text = [error, message].find((each) => typeof each === "string") as string | undefined;
  return {
    code: typeof code === "number" ? code : undefined,
    text: text ?? `status ${status} without a reason: is this etcd?`,
  };
}

function adviceOn(text: string): string {
  if (/space exceeded/.test(text))
    return ": compact and defragment it, or raise --quota-backend-bytes, then `etcdctl alarm disarm`";
  if (/permission denied/.test(text))
    return ": grant the user's role readwrite on the keys under engine.etcd.prefix";
  if (/authentication is not enabled/.test(text))
    return ": remove engine.etcd.user and passwordFile, or enable it";
  return "";
}
