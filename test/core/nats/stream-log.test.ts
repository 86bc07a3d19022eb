/** An append log in a JetStream stream of real servers: what counts as durable, who may write, what is refused. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import type { LogState } from "../../../src/core/append-log/options.ts";
import { crc32c } from "../../../src/core/crc32c.ts";
import type { NxError } from "../../../src/core/errors.ts";
import { NatsLink, type NatsSession } from "../../../src/core/nats/link.ts";
import { StreamLog, type StreamLogOptions } from "../../../src/core/nats/stream-log/stream-log.ts";
import { realClock } from "../../../src/core/seams/clock.ts";
import { realRandom } from "../../../src/core/seams/random.ts";
import { until } from "../../e2e/executable.ts";
import { linkOptions, linkTo, NatsServers } from "./servers.ts";

let servers: NatsServers;
const opened: Opened[] = [];

beforeAll(async () => {
  servers = await NatsServers.start();
});
afterAll(() => servers[Symbol.asyncDispose]());
afterEach(async () => {
  for (const { log } of opened.splice(0)) await log.close().catch(() => undefined);
});

interface Opened {
  log: StreamLog;
  /** Groups in the order of replay. */
  groups: string[];
  snapshot: string[];
  states: [LogState, string | undefined][];
  progress: string[];
}

async function open(stream: string, odd: Partial<StreamLogOptions> = {}): Promise<Opened> {
  const groups: string[] = [];
  const snapshot: string[] = [];
  const states: [LogState, string | undefined][] = [];
  const progress: string[] = [];
  const log = await StreamLog.open(
    {
      ...{ link: linkTo(servers.settings), clock: realClock, random: realRandom, crc32c },
      ...{ stream, replicas: 1, bytesMax: 0, payloadFormat: 1 },
      listener: {
        onDurable: () => {},
        onState: (state, error) => void states.push([state, error?.code]),
      },
      progress: (text) => void progress.push(text),
      ...odd,
    },
    {
      onSnapshot: (bytes) => void snapshot.push(Buffer.from(bytes).toString()),
      onFrame: (bytes) => void groups.push(Buffer.from(bytes).toString()),
    },
  );
  const all = { log, groups, snapshot, states, progress };
  opened.push(all);
  return all;
}

const durable = (log: StreamLog) => until("the log", () => log.durablePosition === log.position || undefined);

async function append(log: StreamLog, ...texts: string[]): Promise<void> {
  for (const text of texts) {
    log.append(Buffer.from(text));
    await durable(log);
  }
}

const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => "opened",
    (error: NxError) => error.code,
  );

test("what was acknowledged is replayed in order, large groups whole, and a snapshot stands for what is before it", async () => {
  const large = "z".repeat(2_500_000);
  const first = await open("replay");
  await append(first.log, "a", "b", large);
  await first.log.compact(function* () {
    yield Buffer.from("one");
    first.log.append(Buffer.from("c"));
    yield Buffer.from(large);
  });
  await append(first.log, "d");
  await first.log.close();
  const second = await open("replay");
  expect(second.snapshot).toEqual(["one", large]);
  expect(second.groups).toEqual(["c", "d"]);
  expect(second.log.stats.snapshotBytes).toBe(3 + large.length);
  const { state } = await servers.session.manager.streams.info("replay");
  // begin, one, three parts, c, end, d, and the claim of the second life.
  expect(state.messages).toBe(9);
});

test("nothing is durable before the stream has acknowledged it; a stall refuses, and ends by itself", async () => {
  await using own = await NatsServers.start();
  const { log, states } = await open("stall", { link: linkTo(own.settings) });
  await append(log, "before");
  await own.kill(0);
  log.append(Buffer.from("during"));
  await until("the stall", () => log.state === "full" || undefined);
  expect(log.durablePosition).toBe("before".length);
  expect(() => log.append(Buffer.from("refused"))).toThrow("does not acknowledge");
  own.startMember(0);
  await durable(log);
  expect(states).toEqual([
    ["full", "NX_JETSTREAM_UNAVAILABLE"],
    ["open", undefined],
  ]);
  await append(log, "after");
  await log.close();
  const again = await open("stall", { link: linkTo(own.settings) });
  expect(again.groups).toEqual(["before", "during", "after"]);
  await again.log.close();
}, 120_000);

test("a stream that is full refuses until its limit is raised; a log that closes meanwhile says so and is not waited for", async () => {
  const { log, states } = await open("small", { bytesMax: 20_000 });
  await append(log, "a");
  const large = "x".repeat(30_000);
  log.append(Buffer.from(large));
  await until("the refusal", () => log.state === "full" || undefined);
  expect(() => log.append(Buffer.from("b"))).toThrow("maximum bytes exceeded");
  await servers.session.manager.streams.update("small", { max_bytes: 100_000 });
  await durable(log);
  expect(log.state).toBe("open");
  log.append(Buffer.from(large.repeat(3)));
  await until("the next refusal", () => log.state === "full" || undefined);
  expect(await codeOf(log.close())).toBe("NX_JETSTREAM_UNAVAILABLE");
  expect(states.map(([state]) => state)).toEqual(["full", "open", "full", "closed"]);
  expect((await open("small")).groups).toEqual(["a", large]);
}, 120_000);

/** A link on which the acknowledgement of every second message is lost, though the stream has the message. */
class LosingLink extends NatsLink {
  #count = 0;

  override async session(): Promise<NatsSession> {
    const real = await super.session();
    const jetstream = Object.create(real.jetstream) as typeof real.jetstream;
    jetstream.publish = async (...words) => {
      const ack = await real.jetstream.publish(...words);
      if (this.#count++ % 2 === 1) throw new Error("the acknowledgement is lost");
      return ack;
    };
    return { ...real, jetstream };
  }
}

test("a group whose acknowledgement is lost is in the stream once", async () => {
  const { log } = await open("lossy", { link: new LosingLink(linkOptions(servers.settings)) });
  const texts = Array.from({ length: 12 }, (_, number) => String(number));
  await append(log, ...texts);
  await log.close();
  expect((await open("lossy")).groups).toEqual(texts);
}, 120_000);

test("who finds a stream in use stands by, and takes over when it is free", async () => {
  const first = await open("shared");
  await append(first.log, "a");
  const progress: string[] = [];
  const opening = open("shared", { progress: (text) => void progress.push(text) });
  await until("standing by", () => progress.some((text) => text.startsWith("standing by")) || undefined);
  await append(first.log, "b");
  await first.log.close();
  const second = await opening;
  expect(second.groups).toEqual(["a", "b"]);
}, 120_000);

test("a stream that was taken over takes nothing more from who had it", async () => {
  const first = await open("taken");
  await append(first.log, "a");
  // What a network that is cut does: neither hears of the other.
  const deaf = linkTo(servers.settings);
  const { connection } = await deaf.session();
  const ask = connection.request.bind(connection);
  connection.request = (subject, ...words) => ask(subject === "taken-active" ? "nobody" : subject, ...words);
  const second = await open("taken", { link: deaf });
  await append(second.log, "b");
  try {
    first.log.append(Buffer.from("from the dead"));
  } catch {
    // It may have heard of the claim already.
  }
  await until("the end", () => first.log.state === "failed" || undefined);
  expect(first.states.at(-1)).toEqual(["failed", "NX_JETSTREAM_FENCED"]);
  await append(second.log, "c");
  await second.log.close();
  expect((await open("taken")).groups).toEqual(["a", "b", "c"]);
}, 120_000);

test("a write of somebody who heard of no claim is refused by the stream itself", async () => {
  const first = await open("unheard");
  await append(first.log, "a");
  const { manager, jetstream } = servers.session;
  const last = (await manager.streams.info("unheard")).state.last_seq;
  await jetstream.publish("unheard.effects", "from the side", { expect: { lastSequence: last } });
  first.log.append(Buffer.from("b"));
  expect(await codeOf(first.log.compact(() => [Buffer.from("snapshot")]))).toBe("NX_JETSTREAM_FENCED");
  expect(first.log.state).toBe("failed");
  expect(first.log.durablePosition).toBe(1);
  expect(first.states).toEqual([["failed", "NX_JETSTREAM_FENCED"]]);
});

test("a stream that lost messages, was written in another format, holds damage or could lose messages is not served", async () => {
  const { manager, jetstream } = servers.session;
  for (const stream of ["lost", "format", "damage"]) {
    const { log } = await open(stream);
    await append(log, "a", "b");
    await log.close();
  }
  await manager.streams.purge("lost", { seq: 3 });
  expect(await codeOf(open("lost"))).toBe("NX_JETSTREAM_LOST");
  expect(await codeOf(open("format", { payloadFormat: 2 }))).toBe("NX_DATA_VERSION");
  await jetstream.publish("damage.effects", "no checksum");
  expect(await codeOf(open("damage"))).toBe("NX_DATA_CORRUPT");
  await manager.streams.add({ name: "aged", subjects: ["aged.*"], max_age: 60_000_000_000, discard: "new" });
  expect(await codeOf(open("aged"))).toBe("NX_JETSTREAM_REFUSED");
  await manager.streams.add({ name: "single", subjects: ["single.*"], discard: "new" });
  expect(await codeOf(open("single", { replicas: 3 }))).toBe("NX_JETSTREAM_REFUSED");
});
