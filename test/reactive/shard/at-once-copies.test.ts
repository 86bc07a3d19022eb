/**
 * One transaction may come to a primary several times: sent again by its client over another frontend, or late, from a connection that
 * was given up. Whatever becomes of a copy, reads wait for all that may still be committed, and for nothing else.
 */
import { afterEach, expect, test } from "bun:test";
import { encodeRequests } from "../../../src/reactive/replication/codec.ts";
import { ResultStatus } from "../../../src/reactive/replication/client-codec.ts";
import { SessionTable } from "../../../src/reactive/replication/sessions.ts";
import type { Request } from "../../../src/reactive/replication/types.ts";
import { decodeVote, encodeCommand } from "../../../src/reactive/shard/commands.ts";
import { encodeOperations } from "../../../src/reactive/shard/operations.ts";
import { decodeChanges, decodeReadReply, encodeQuery } from "../../../src/reactive/shard/query-messages.ts";
import { ShardService } from "../../../src/reactive/shard/service.ts";
import { Level } from "../../../src/reactive/shard/transaction.ts";
import { ByteReader } from "../../../src/reactive/wire/bytes.ts";
import { whole } from "../whole.ts";

const VIEW = 3;
const KEY = Buffer.from("k");
const PUT = encodeOperations([{ kind: "put", value: { type: "bytes", bytes: Buffer.from("v") } }]);

/** A primary: its shard, and the sessions of those who ask it. */
class Primary {
  readonly shard = new ShardService();
  readonly #sessions = new SessionTable();
  #op = 0;

  /** An entry of the log with these. */
  apply(...requests: Request[]) {
    const entry = { op: ++this.#op, view: VIEW, timeMs: 0, payload: encodeRequests(requests), requests };
    return whole(this.#sessions.apply(entry, this.shard));
  }

  session(): number {
    const [outcome] = this.apply({ session: 0, number: 1, floor: 0, body: new Uint8Array(0) });
    return new ByteReader(outcome?.body as Uint8Array).u64();
  }

  /** A put of one key, or other operations, in one entry; taken, and not ordered yet. */
  take(
    session: number,
    number: number,
    floor: number,
    transaction: number,
    timestamp: number,
    operations = PUT,
  ): Request {
    const body = encodeCommand({
      kind: "atOnce",
      timestamp,
      view: VIEW,
      transaction: {
        id: { client: 1, number: transaction },
        floor: 1,
        level: Level.strict,
        snapshot: 0,
        home: 0,
        participants: [0],
        accesses: [{ key: KEY, reads: [], operations }],
      },
    });
    const request = { session, number, floor, body };
    expect(this.shard.admit(request, VIEW)).toBeUndefined();
    return request;
  }

  /** The version that a read at the timestamp finds; undefined: it waits. */
  async read(timestamp: number): Promise<number | undefined> {
    const query = encodeQuery({ kind: "read", timestamp, known: timestamp, keys: [KEY] });
    const answer = await Promise.race([this.shard.query(query, VIEW), Promise.resolve("waits" as const)]);
    return answer instanceof Uint8Array ? decodeReadReply(answer).versions[0]?.start : undefined;
  }

  async floor(upTo: number): Promise<number> {
    const query = encodeQuery({ kind: "changes", position: 0, waits: false, upTo });
    return decodeChanges((await this.shard.query(query, VIEW)) as Uint8Array).floor;
  }
}

let primary: Primary;
afterEach(() => primary.shard.close());

test("a copy that comes when its sender has the answer is not executed, and nobody waits for it", async () => {
  primary = new Primary();
  const session = primary.session();
  const first = primary.take(session, 1, 1, 1, 10);
  primary.apply(first);
  primary.apply(primary.take(session, 2, 2, 2, 20));
  const late = primary.take(session, 1, 1, 1, 10);
  expect(await primary.read(40)).toBeUndefined();
  expect(primary.apply(late).map(({ status }) => status)).toEqual([ResultStatus.forgotten]);
  expect(await primary.read(41)).toBe(20);
});

test("nobody waits for what a session sent that the group has forgotten", async () => {
  primary = new Primary();
  const request = primary.take(99, 1, 1, 1, 10);
  expect(primary.apply(request).map(({ status }) => status)).toEqual([ResultStatus.sessionExpired]);
  expect(await primary.read(20)).toBe(0);
});

test("of two attempts the second is waited for when the first came too late", async () => {
  primary = new Primary();
  const [one, other] = [primary.session(), primary.session()];
  const first = primary.take(one, 1, 1, 1, 10);
  const second = primary.take(other, 1, 1, 1, 20);
  // What both may still be committed at is not told to be over.
  expect(await primary.floor(9)).toBe(9);
  primary.apply(primary.take(one, 2, 1, 2, 15));
  expect(primary.apply(first).map(({ body }) => decodeVote(body).kind)).toEqual(["late"]);
  expect(await primary.read(25)).toBeUndefined();
  expect(primary.apply(second).map(({ body }) => decodeVote(body))).toEqual([
    { kind: "decided", outcome: { kind: "committed", timestamp: 20 } },
  ]);
  expect(await primary.read(26)).toBe(20);
});

test("of two attempts the smaller timestamp is the one that followers are not told to be behind", async () => {
  primary = new Primary();
  const [one, other] = [primary.session(), primary.session()];
  const first = primary.take(one, 1, 1, 1, 10);
  const second = primary.take(other, 1, 1, 1, 20);
  expect(await primary.floor(19)).toBe(9);
  primary.apply(first, second);
  expect(await primary.read(26)).toBe(10);
});

test("operations that cannot be read are refused behind a newer version too, and none at all are nothing: nobody waits", async () => {
  primary = new Primary();
  const session = primary.session();
  const [broken, empty] = [Buffer.from("?"), new Uint8Array(0)];
  const first = primary.take(session, 1, 1, 1, 10, broken);
  const second = primary.take(session, 2, 1, 2, 11, empty);
  primary.apply(primary.take(session, 3, 1, 3, 20));
  const votes = primary.apply(first, second).map(({ body }) => decodeVote(body));
  expect(votes).toMatchObject([
    { kind: "no", reason: "invalid" },
    { kind: "decided", outcome: { kind: "committed", timestamp: 11 } },
  ]);
  expect(await primary.read(30)).toBe(20);
});
