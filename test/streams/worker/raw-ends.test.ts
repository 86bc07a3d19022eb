/** Raw TCP at both ends: what an input log saves, what is lost without one, and senders that feel a slow receiver. */
import { expect, test } from "bun:test";
import type { World } from "../../../src/core/role.ts";
import { seededRandom } from "../../../src/core/seams/random.ts";
import type { Socket } from "../../../src/core/seams/net.ts";
import { Outbox } from "../../../src/core/sockets/outbox.ts";
import detector from "../../../src/streams/apps/detector.ts";
import passthrough from "../../../src/streams/apps/passthrough.ts";
import { ByteWriter } from "../../../src/streams/wire/bytes.ts";
import { FrameReader, frameOf } from "../../../src/streams/wire/frame.ts";
import { SOURCE_PORT, StreamCluster, violation } from "./sim-cluster.ts";
import { SimReceiver } from "./sim-receiver.ts";

const HOST = "10.0.0.1";
const LIMITS = { timeLimitMs: 600_000 };

/** Sends frames as fast as they are taken; nobody acknowledges anything. */
class RawSender {
  sentBytes = 0;
  #outbox: Outbox | undefined;

  static async connect(world: World): Promise<RawSender> {
    const sender = new RawSender();
    await world.net.connect<undefined>({
      host: HOST,
      port: SOURCE_PORT,
      handlers: {
        open: (socket) => {
          sender.#outbox = new Outbox(socket, { bytesMax: 1 << 28 });
        },
        data: () => {},
        drain: () => sender.#outbox?.drain(),
        close: () => {},
      },
    });
    return sender;
  }

  get waitingBytes(): number {
    return this.#outbox?.length ?? 0;
  }

  send(body: Uint8Array): void {
    this.sentBytes += body.byteLength;
    this.#outbox?.send(frameOf(body));
  }
}

const counter = (key: string, value: number) => new ByteWriter().u64(value).raw(Buffer.from(key)).done();

async function sendCounters(
  cluster: StreamCluster,
  sender: RawSender,
  from: number,
  to: number,
): Promise<void> {
  for (let value = from; value <= to; value++) {
    for (const key of ["a", "b", "c"]) sender.send(counter(key, value));
    await cluster.pause(1);
  }
}

const RAW_KEYS = ["a", "b", "c"];

test("A7: with an input log nothing that was read is lost, at whichever of twenty moments another worker dies", () => {
  const cluster = new StreamCluster(1, { app: detector, size: 2 });
  cluster.scheduler.run(async () => {
    await cluster.startAll({ sources: [`Detector=tcp://${HOST}:${SOURCE_PORT}?log=true`] });
    const sender = await RawSender.connect(cluster.sim.host("10.0.1.1").start().world);
    const random = seededRandom(1);
    let value = 0;
    const go = async (count: number) => {
      await sendCounters(cluster, sender, value + 1, value + count);
      value += count;
    };
    for (let kill = 0; kill < 20; kill++) {
      await go(1 + random.integer(60));
      cluster.kill("worker2");
      await go(1 + random.integer(20));
      await cluster.restart("worker2");
      await cluster.until("the cluster runs", () => cluster.isRunning());
    }
    await cluster.pause(1000);
    expect(violation(await cluster.output(), RAW_KEYS, value)).toBeUndefined();
  }, LIMITS);
}, 120_000);

test("A7: what gathered in the input log while no checkpoint could be is fed after a crash, however much it is", () => {
  const cluster = new StreamCluster(4, { app: passthrough, size: 1, sources: ["In"], sink: "Out" });
  cluster.scheduler.run(async () => {
    const settings = {
      sources: [`In=tcp://${HOST}:${SOURCE_PORT}?log=true`],
      sinks: ["Out=2pc://10.0.2.1:5555"],
    };
    await cluster.startAll(settings);
    const sender = await RawSender.connect(cluster.sim.host("10.0.1.1").start().world);
    const bodies = Array.from({ length: 250 }, (_, number) =>
      new ByteWriter().u64(number).raw(new Uint8Array(16_000)).done().slice(),
    );
    for (const body of bodies) sender.send(body);
    // Without its sink it cannot have a checkpoint.
    const records = () => cluster.leader.sources[0]?.stats().records;
    await cluster.until("everything is read", () => records() === bodies.length);
    await cluster.pause(1000);
    cluster.kill("initializer");
    await cluster.restart("initializer");
    const receiver = await SimReceiver.start(cluster);
    const committed = () => cluster.leader.sinks[0]?.stats().committedBytes;
    await cluster.until("everything is committed", () => committed() === bodies.length * (4 + 8 + 16_000));
    await cluster.pause(1000);
    const output = (await receiver.output()).get("the sink") ?? [];
    expect(output.map((text) => Buffer.from(text.slice(0, 8), "latin1").readBigUInt64BE())).toEqual(
      bodies.map((_, number) => BigInt(number)),
    );
  }, LIMITS);
});

/** The newest element of each window in the output, by key. */
async function newestValues(cluster: StreamCluster): Promise<Map<string, Set<number>>> {
  const values = new Map(RAW_KEYS.map((key) => [key, new Set<number>()]));
  for (const record of [...(await cluster.output()).values()].flat()) {
    const [, key = "", value = ""] = /^\(([^.]+)\..*?(\d+)\]\)$/.exec(record) ?? [];
    values.get(key)?.add(Number(value));
  }
  return values;
}

test("A7: without one, exactly the records behind the last checkpoint are missing, and that many are reported", () => {
  const cluster = new StreamCluster(2, { app: detector, args: ["--tolerant"], size: 2, checkpointMs: 50 });
  cluster.scheduler.run(async () => {
    await cluster.startAll({ sources: [`Detector=tcp://${HOST}:${SOURCE_PORT}`] });
    const sender = await RawSender.connect(cluster.sim.host("10.0.1.1").start().world);
    await sendCounters(cluster, sender, 1, 200);
    cluster.kill("worker2");
    await sendCounters(cluster, sender, 201, 220);
    const held = await newestValues(cluster);
    await cluster.restart("worker2");
    await cluster.until("the cluster runs", () => cluster.isRunning());
    await sendCounters(cluster, sender, 221, 300);
    await cluster.pause(1000);
    const found = await newestValues(cluster);
    let missing = 0;
    for (const key of RAW_KEYS) {
      const values = found.get(key) as Set<number>;
      const gone = Array.from({ length: 300 }, (_, index) => index + 1).filter((value) => !values.has(value));
      missing += gone.length;
      // One stretch, behind what a checkpoint holds.
      expect((gone.at(-1) ?? 0) - (gone[0] ?? 0) + 1).toBe(gone.length);
      expect(gone[0]).toBeGreaterThan(Math.max(...(held.get(key) as Set<number>)));
    }
    expect(missing).toBeGreaterThan(0);
    const [source] = cluster.leader.sources;
    expect(source?.stats().lostRecords).toBe(missing);
  }, LIMITS);
});

test("A21: a receiver that does not read lets the senders wait, and then gets everything", () => {
  const cluster = new StreamCluster(3, { app: passthrough, size: 1, sources: ["In"], sink: "Out" });
  cluster.scheduler.run(async () => {
    const { world } = cluster.sim.host("10.0.2.1").start();
    let receiving: Socket | undefined;
    let records = 0;
    const reader = new FrameReader(() => 1 << 20);
    await world.net.listen<undefined>({
      ...{ host: "10.0.2.1", port: 5555 },
      handlers: {
        open: (socket) => {
          receiving = socket;
          socket.pause();
        },
        data: (_socket, _state, chunk) => reader.feed(chunk, () => void (records += 1)),
        drain: () => {},
        close: () => {},
      },
    });
    await cluster.startAll({
      sources: [`In=tcp://${HOST}:${SOURCE_PORT}`],
      sinks: ["Out=tcp://10.0.2.1:5555"],
    });
    const sender = await RawSender.connect(cluster.sim.host("10.0.1.1").start().world);
    const body = new Uint8Array(16_000);
    for (let record = 0; record < 800; record++) sender.send(body);
    await cluster.until("pressure", () => cluster.leader.runtime.stats.rests.includes("congested"));
    await cluster.pause(2000);
    const waiting = cluster.leader.sinks[0]?.stats().waitingBytes as number;
    expect(waiting).toBeLessThan(6 << 20);
    expect(sender.waitingBytes).toBeGreaterThan(1 << 20);
    receiving?.resume();
    await cluster.until("everything", () => records === 800, 60_000);
    expect(cluster.leader.runtime.stats.rests).toEqual([]);
  }, LIMITS);
});
