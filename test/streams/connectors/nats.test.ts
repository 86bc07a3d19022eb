/**
 * A JetStream stream as input and as output, on a real nats-server: what is acknowledged when, and what comes once.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { silentLog } from "../../../src/core/logging/log.ts";
import { readStream, WHATEVER_COMES } from "../../../src/core/nats/read-stream.ts";
import { realClock } from "../../../src/core/seams/clock.ts";
import { realRandom } from "../../../src/core/seams/random.ts";
import { NatsSource } from "../../../src/streams/connectors/nats-source.ts";
import { NatsTarget } from "../../../src/streams/connectors/nats-target.ts";
import type { SourceNode } from "../../../src/streams/plan/nodes.ts";
import { linkTo, NatsServers } from "../../core/nats/servers.ts";
import { until } from "../../e2e/executable.ts";

const node = { name: "In" } as SourceNode;
let servers: NatsServers;

beforeAll(async () => {
  servers = await NatsServers.start();
});
afterAll(() => servers[Symbol.asyncDispose]());

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();
const numbers = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, index) => String(from + index));

async function publish(subject: string, from: number, to: number): Promise<void> {
  await Promise.all(numbers(from, to).map((each) => servers.session.jetstream.publish(subject, each)));
}

function sourceOf(stream: string, options: { subject?: string; pending?: number } = {}) {
  const fed: string[] = [];
  const failures: Error[] = [];
  const source = new NatsSource(
    node,
    {
      feed: (_node, bytes, start, end) => void fed.push(text(bytes.subarray(start, end))),
      feedValue: () => {},
      onBatchEnd: () => {},
    },
    {
      ...{ link: linkTo(servers.settings), clock: realClock, log: silentLog(), stream },
      ...{
        subject: options.subject,
        consumer: "app",
        pending: options.pending ?? 10_000,
        ackWaitMs: 500,
        shortCountMax: 2,
      },
      onFatal: (error) => void failures.push(error),
    },
  );
  const fedAll = (count: number) => until(`${count} records`, () => fed.length >= count || undefined);
  return { source, fed, fedAll, failures };
}

const consumerOf = (stream: string) => servers.session.manager.consumers.info(stream, "app");
const unacknowledged = async (stream: string) => (await consumerOf(stream)).num_ack_pending;
const acknowledgedUpTo = (stream: string, sequence: number) =>
  until(
    `acknowledgements up to ${sequence}`,
    async () => (await consumerOf(stream)).ack_floor.stream_seq === sequence || undefined,
  );

test.each(["limits", "workqueue", "interest"] as const)(
  "a message of a stream with retention %s is acknowledged when a checkpoint that covers it is committed, not before",
  async (retention) => {
    const stream = `acks-${retention}`;
    await servers.addStream(stream, { retention });
    const { source, fed, fedAll } = sourceOf(stream);
    await source.open();
    await source.rollBack(undefined);
    source.go();
    // An interest stream takes nothing before somebody is interested.
    await until("the consumer", () => consumerOf(stream).catch(() => undefined));
    await publish(stream, 0, 50);
    await fedAll(50);
    expect(fed).toEqual(numbers(0, 50));
    source.rest();
    const position = source.position();
    source.go();
    await publish(stream, 50, 60);
    await fedAll(60);
    expect(await unacknowledged(stream)).toBe(60);
    source.committed(position);
    await acknowledgedUpTo(stream, 50);
    expect(await unacknowledged(stream)).toBe(10);
    const left = retention === "limits" ? 60 : 10;
    const { streams } = servers.session.manager;
    await until(
      `${left} messages`,
      async () => (await streams.info(stream)).state.messages === left || undefined,
    );
    await source.close();
  },
  120_000,
);

test.each(["limits", "workqueue"] as const)(
  "a worker that comes back to a stream with retention %s is fed what its checkpoint does not cover, in order, at once",
  async (retention) => {
    const stream = `back-${retention}`;
    await servers.addStream(stream, { retention });
    await publish(stream, 0, 40);
    const first = sourceOf(stream);
    await first.source.open();
    await first.source.rollBack(undefined);
    first.source.go();
    await first.fedAll(40);
    first.source.rest();
    const position = structuredClone(first.source.position());
    first.source.committed(position);
    first.source.go();
    await publish(stream, 40, 70);
    await first.fedAll(70);
    await acknowledgedUpTo(stream, 40);
    // What it had been fed since dies with it.
    await first.source.close();
    await publish(stream, 70, 90);
    const second = sourceOf(stream);
    await second.source.open();
    await second.source.rollBack(position);
    second.source.go();
    await second.fedAll(1);
    expect(second.fed[0]).toBe("40");
    await second.fedAll(50);
    expect(second.fed).toEqual(numbers(40, 90));
    // The same life goes back once more, in the middle of reading.
    second.source.rest();
    await second.source.rollBack(position);
    second.fed.length = 0;
    second.source.go();
    await publish(stream, 90, 100);
    await second.fedAll(60);
    expect(second.fed).toEqual(numbers(40, 100));
    second.source.rest();
    second.source.committed(second.source.position());
    second.source.go();
    // What was handed out in the life before comes again, only to be acknowledged.
    await acknowledgedUpTo(stream, 100);
    expect(second.fed).toHaveLength(60);
    await second.source.close();
  },
  60_000,
);

test("a server hands out no more than `pending` messages that no checkpoint covers", async () => {
  await servers.addStream("bounded");
  await publish("bounded", 0, 100);
  const { source, fed, fedAll } = sourceOf("bounded", { pending: 30 });
  await source.open();
  await source.rollBack(undefined);
  source.go();
  for (let covered = 30; covered <= 90; covered += 30) {
    await fedAll(covered);
    await until("the server to hold back", async () => (await unacknowledged("bounded")) === 30 || undefined);
    expect(fed).toHaveLength(covered);
    source.rest();
    source.committed(source.position());
    source.go();
  }
  await fedAll(100);
  await source.close();
  // Another number is taken over when the source starts again.
  const again = sourceOf("bounded", { pending: 50 });
  await again.source.open();
  await again.source.rollBack(undefined);
  again.source.go();
  await until(
    "the other number",
    async () => (await consumerOf("bounded")).config.max_ack_pending === 50 || undefined,
  );
  await again.source.close();
}, 120_000);

test("a subject selects messages, and a server that restarts costs nothing", async () => {
  await using own = await NatsServers.start();
  const shared = servers;
  servers = own;
  try {
    await own.addStream("chosen", { subjects: ["chosen.>"] });
    const { source, fed, fedAll } = sourceOf("chosen", { subject: "chosen.yes" });
    await source.open();
    await source.rollBack(undefined);
    source.go();
    for (let step = 0; step < 3; step++) {
      await publish("chosen.no", 0, 5);
      await publish("chosen.yes", step * 20, step * 20 + 20);
      await fedAll(step * 20 + 20);
      await own.kill(0);
      own.startMember(0);
      await own.untilServing();
    }
    expect(fed).toEqual(numbers(0, 60));
    await source.close();
  } finally {
    servers = shared;
  }
}, 60_000);

test("a stream that is missing, made anew or shorter than the checkpoint is refused, and a consumer of another kind", async () => {
  const refusal = async (stream: string, position?: unknown) => {
    const { source, failures } = sourceOf(stream);
    await source.open();
    await source.rollBack(position);
    source.go();
    const [failure] = await until("a refusal", () => (failures.length > 0 ? failures : undefined));
    await source.close();
    return failure;
  };
  expect(await refusal("nowhere")).toMatchObject({
    code: "NX_JETSTREAM_REFUSED",
    message: "there is no stream nowhere",
  });
  await servers.addStream("young");
  await publish("young", 0, 3);
  const { created } = await servers.session.manager.streams.info("young");
  expect((await refusal("young", { sequence: 2, created: "2001-01-01T00:00:00Z" }))?.message).toContain(
    "made anew",
  );
  expect((await refusal("young", { sequence: 9, created }))?.message).toContain("the servers lost messages");
  await servers.session.manager.consumers.add("young", { durable_name: "app", ack_policy: "explicit" });
  expect((await refusal("young", { sequence: 2, created }))?.message).toContain('acknowledges by "explicit"');
});

// --- output ----------------------------------------------------------------------------------------------------------

function targetOf(stream: string, options: { subject?: string; inFlight?: number } = {}): NatsTarget {
  return new NatsTarget({
    ...{ link: linkTo(servers.settings), random: realRandom, log: silentLog(), stream },
    ...{ subject: options.subject, inFlight: options.inFlight ?? 16 },
  });
}

const byNumber = (a: string, b: string) => Number(a) - Number(b);
const records = (from: number, to: number) => numbers(from, to).map((each) => Buffer.from(each));

async function contents(stream: string, subject = stream): Promise<string[]> {
  const found: string[] = [];
  const range = { stream, subject, after: 0, upTo: WHATEVER_COMES };
  for await (const { data } of readStream(servers.session, range)) found.push(text(data));
  return found;
}

/** Waits until the stream takes a message with this id once more, on another subject. */
async function untilForgotten(id: string, subject: string): Promise<void> {
  await until("the stream to have forgotten", async () => {
    const { duplicate } = await servers.session.jetstream.publish(subject, "again", { msgID: id });
    return duplicate ? undefined : true;
  });
}

test("a checkpoint that is delivered again is in the stream once, also later than the stream remembers ids", async () => {
  // The shortest memory that a server accepts; what is asserted does not depend on whether it is over.
  await servers.addStream("once", { duplicate_window: 100_000_000, subjects: ["once", "aside"] });
  const first = targetOf("once", { subject: "once", inFlight: 1 });
  first.resume(undefined);
  const begun = first.position();
  await first.deliver(1, records(0, 20));
  const afterFirst = structuredClone(first.position());
  await first.deliver(2, records(20, 40));
  await first.close();
  await untilForgotten(`${begun.id}.2.19`, "aside");
  // A next life does not know whether checkpoint 2 was delivered.
  const second = targetOf("once", { subject: "once" });
  second.resume(afterFirst);
  await second.deliver(2, records(20, 40));
  await second.deliver(3, records(40, 50));
  await second.close();
  // Nor does one that was told of the first checkpoint alone, which was prepared before anything was delivered.
  const third = targetOf("once", { subject: "once" });
  third.resume(begun);
  await third.deliver(1, records(0, 20));
  await third.close();
  expect((await contents("once")).toSorted(byNumber)).toEqual(numbers(0, 50));
}, 120_000);

test("of a checkpoint that was half delivered only the rest is sent", async () => {
  await servers.addStream("half", { duplicate_window: 100_000_000, subjects: ["half.>"] });
  const first = targetOf("half", { subject: "half.out", inFlight: 1 });
  first.resume(undefined);
  await first.deliver(1, records(0, 5));
  const position = structuredClone(first.position());
  await first.deliver(2, records(5, 8));
  await first.close();
  await untilForgotten(`${position.id}.2.2`, "half.other");
  const second = targetOf("half", { subject: "half.out" });
  second.resume(position);
  await second.deliver(2, records(5, 12));
  await second.close();
  expect((await contents("half", "half.out")).toSorted(byNumber)).toEqual(numbers(0, 12));
}, 120_000);

test("an output that begins anew is never taken for one of a life before", async () => {
  await servers.addStream("lives");
  for (let life = 0; life < 2; life++) {
    const target = targetOf("lives");
    target.resume(undefined);
    await target.deliver(1, records(0, 3));
    await target.close();
  }
  expect((await contents("lives")).toSorted()).toEqual(["0", "0", "1", "1", "2", "2"]);
});

test("a stream with several subjects wants to be told which one", async () => {
  await servers.addStream("many", { subjects: ["many.a", "many.b"] });
  const target = targetOf("many");
  target.resume(undefined);
  await expect(target.deliver(1, records(0, 1))).rejects.toMatchObject({ code: "NX_JETSTREAM_REFUSED" });
  await target.close();
});
