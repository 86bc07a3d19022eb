/** What etcd's refusals mean to a client: whether to ask again, and whether anything may have happened. */
import { expect, test } from "bun:test";
import {
  CompactedError,
  failureOf,
  FutureRevisionError,
  LeaseError,
  NoAnswerError,
  TokenError,
} from "../../../src/reactive/engines/etcd/answers.ts";
import { LimitError, RefusedError } from "../../../src/reactive/failures.ts";

test.each([
  [14, "etcdserver: request timed out, possibly due to previous leader failure", NoAnswerError],
  [14, "etcdserver: no leader", NoAnswerError],
  [8, "etcdserver: too many requests", NoAnswerError],
  [2, "raft: stopped", NoAnswerError],
  [16, "etcdserver: invalid auth token", TokenError],
  [3, "etcdserver: user name is empty", TokenError],
  [11, "etcdserver: mvcc: required revision has been compacted", CompactedError],
  [11, "etcdserver: mvcc: required revision is a future revision", FutureRevisionError],
  [5, "etcdserver: requested lease not found", LeaseError],
  [3, "etcdserver: request is too large", LimitError],
  [8, "grpc: received message larger than max (3000010 vs. 2097152)", LimitError],
  [3, "etcdserver: too many operations in txn request", LimitError],
  [8, "etcdserver: mvcc: database space exceeded", RefusedError],
  [7, "etcdserver: permission denied", RefusedError],
  [9, "etcdserver: authentication is not enabled", RefusedError],
] as const)("%i %s", (code, error, kind) => {
  expect(failureOf(400, { error, message: error, code })).toBeInstanceOf(kind);
});

test("what cannot be read is no answer; refusals that somebody can end say how", () => {
  for (const body of [undefined, null, "<html>", { code: "x" }])
    expect(failureOf(502, body)).toBeInstanceOf(NoAnswerError);
  expect(failureOf(429, { error: "etcdserver: mvcc: database space exceeded", code: 8 }).message).toContain(
    "alarm disarm",
  );
  expect(failureOf(403, { error: "etcdserver: permission denied", code: 7 }).message).toContain(
    "engine.etcd.prefix",
  );
});
