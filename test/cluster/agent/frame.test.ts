/** The envelope of messages: whatever way a stream is cut or damaged, only whole messages come out. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { streamPair } from "../../../src/cluster/agent/byte-stream.ts";
import { AgentClient } from "../../../src/cluster/agent/client.ts";
import { newLines } from "../../../src/cluster/agent/follow.ts";
import { encodeFrame, FrameReader, PART_BYTES_MAX, type Frame } from "../../../src/cluster/agent/frame.ts";
import { serveAgent, type Handlers } from "../../../src/cluster/agent/server.ts";
import { NxError } from "../../../src/core/errors.ts";

const frame = fc.record({
  kind: fc.constantFrom(1, 2, 3, 4) as fc.Arbitrary<Frame["kind"]>,
  number: fc.nat(0xffffffff),
  body: fc.jsonValue() as fc.Arbitrary<unknown>,
  block: fc.uint8Array({ maxLength: 2000 }),
});

function readAll(bytes: Uint8Array, pieceBytes: number): Frame[] {
  const reader = new FrameReader();
  const frames: Frame[] = [];
  for (let at = 0; at < bytes.byteLength; at += pieceBytes) {
    frames.push(...reader.feed(bytes.slice(at, at + pieceBytes)));
  }
  return frames;
}

test("frames come back as they were, however the stream is cut", () => {
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 5 }), fc.integer({ min: 1, max: 700 }), (frames, pieceBytes) => {
      const bytes = Buffer.concat(frames.map(encodeFrame));
      const read = readAll(bytes, pieceBytes);
      expect(read.map(({ block, ...rest }) => ({ ...rest, block: [...block] }))).toEqual(
        frames.map(({ block, body, ...rest }) => ({
          ...rest,
          body: JSON.parse(JSON.stringify(body)) as unknown,
          block: [...block],
        })),
      );
    }),
    { numRuns: 200 },
  );
});

test("no flipped bit of a frame goes unnoticed", () => {
  const bytes = encodeFrame({ kind: 1, number: 7, body: { method: "inventory" }, block: new Uint8Array(20) });
  for (let bit = 0; bit < bytes.byteLength * 8; bit++) {
    const damaged = bytes.slice();
    damaged[bit >> 3] = (damaged[bit >> 3] as number) ^ (1 << (bit & 7));
    // A damaged magic is noise before the first frame; a longer length waits for more. Neither is a message.
    let read: Frame[] = [];
    try {
      read = readAll(damaged, damaged.byteLength);
    } catch (error) {
      expect(error).toMatchObject({ code: "NX_AGENT_PROTOCOL" });
    }
    expect({ bit, read }).toEqual({ bit, read: [] });
  }
});

test("a shell that greets is skipped, one that never stops is quoted", () => {
  const bytes = encodeFrame({ kind: 2, number: 1, body: {} });
  const greeting = Buffer.from("Welcome to host!\nNX NXA NXAN\n");
  const reader = new FrameReader();
  expect([...reader.feed(Buffer.concat([greeting, bytes]))]).toHaveLength(1);
  expect(reader.noise).toBe(greeting.toString());
  const talkative = new FrameReader();
  const talk = () => {
    for (let line = 0; line < 10_000; line++) for (const _ of talkative.feed(Buffer.from("blah blah\n")));
  };
  expect(talk).toThrow("blah blah");
});

test("noise between frames ends the conversation", () => {
  const bytes = encodeFrame({ kind: 2, number: 1, body: {} });
  expect(() => readAll(Buffer.concat([bytes, Buffer.from("oops"), bytes]), 10)).toThrow("between messages");
});

test("a length beyond the limit is refused before anything is kept for it", () => {
  const bytes = encodeFrame({ kind: 2, number: 1, body: {} });
  new DataView(bytes.buffer).setUint32(16, PART_BYTES_MAX + 1, true);
  expect(() => readAll(bytes, 24)).toThrow("claims");
  expect(() =>
    encodeFrame({ kind: 2, number: 1, body: {}, block: new Uint8Array(PART_BYTES_MAX + 1) }),
  ).toThrow();
});

describe("a conversation", () => {
  const handlersWith = (some: Partial<Handlers>) => some as Handlers;

  function connect(some: Partial<Handlers>): AgentClient {
    const [near, far] = streamPair();
    void serveAgent(far, handlersWith(some));
    return new AgentClient("host", near, () => new NxError("NX_HOST_LOST", "cut"));
  }

  test("answers questions in any order, with their events before", async () => {
    const handlers: Partial<Handlers> = {
      async logs({ params, emit }) {
        if (params.lines === 1) await Bun.sleep(5);
        await emit({ instance: "a", line: String(params.lines) });
        return {};
      },
    };
    const client = connect(handlers);
    const heard: string[] = [];
    const ask = async (lines: number) => {
      await client.call(
        "logs",
        { instances: [], lines, isFollowing: false },
        { onEvent: ({ line }) => heard.push(line) },
      );
      heard.push(`end of ${lines}`);
    };
    await Promise.all([ask(1), ask(2)]);
    expect(heard).toEqual(["2", "end of 2", "1", "end of 1"]);
  });

  test("hands an error over with its code, and one of an unknown kind as ours", async () => {
    const client = connect({
      "lock-renew": async () => {
        throw new NxError("NX_LOCK_LOST", "gone", { hint: "look" });
      },
      inventory: async () => {
        throw new TypeError("oops");
      },
    });
    const lost = await client.call("lock-renew", { generation: 1, ttlMs: 1 }).catch((error: Error) => error);
    expect(lost).toMatchObject({ code: "NX_LOCK_LOST", hint: "look", message: "host: gone" });
    const broken = await client.call("inventory", {}).catch((error: Error) => error);
    expect(broken).toMatchObject({ code: "NX_INTERNAL", message: "host: oops" });
  });

  test("refuses questions that are not in the table, or asked wrongly, before a handler sees them", async () => {
    let calls = 0;
    const client = connect({ swap: async () => ((calls += 1), {}) });
    const ask = (method: string, params: object) =>
      client.call(method as "swap", params as never).catch((error: Error) => error);
    expect(await ask("__proto__", {})).toBeInstanceOf(Error);
    const fence = { generation: 1, operation: "o", operator: "me" };
    for (const instance of ["../../etc", "a/b", "", ".hidden", "a b"]) {
      expect(await ask("swap", { ...fence, instance, release: "r" })).toMatchObject({
        code: "NX_AGENT_PROTOCOL",
      });
    }
    expect(calls).toBe(0);
    await client.call("swap", { ...fence, instance: "p.dht0", release: "r" });
    expect(calls).toBe(1);
  });

  test("cancels a question, and all of them when the operator is gone", async () => {
    const ended: string[] = [];
    const client = connect({
      async logs({ params, signal }) {
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
        ended.push(String(params.lines));
        return {};
      },
    });
    const stop = new AbortController();
    const first = client.call(
      "logs",
      { instances: [], lines: 1, isFollowing: true },
      { signal: stop.signal },
    );
    void client.call("logs", { instances: [], lines: 2, isFollowing: true }).catch(() => undefined);
    stop.abort();
    await first;
    expect(ended).toEqual(["1"]);
    client.close();
    while (ended.length < 2) await Bun.sleep(1);
    expect(ended).toEqual(["1", "2"]);
  });
});

test("lines that came since the last look are found by what both looks have", () => {
  expect(newLines([], ["a"])).toEqual(["a"]);
  expect(newLines(["a", "b"], ["a", "b"])).toEqual([]);
  expect(newLines(["a", "b"], ["b", "c", "d"])).toEqual(["c", "d"]);
  expect(newLines(["a", "b"], ["x", "y"])).toEqual(["x", "y"]);
});
