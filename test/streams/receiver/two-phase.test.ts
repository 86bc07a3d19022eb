/** The two-phase sink with a worker played by hand: promises, commits, rollbacks, deaths of either side, power loss. */
import { describe, expect, test } from "bun:test";
import { SimCluster, type SimHost } from "../../../src/core/sim/world.ts";
import type { World } from "../../../src/core/role.ts";
import type { Socket } from "../../../src/core/seams/net.ts";
import { committedParts } from "../../../src/streams/receiver/committed.ts";
import { TwoPhaseReceiver } from "../../../src/streams/receiver/two-phase-receiver.ts";
import {
  connectorFrame,
  readConnectorFrame,
  type ConnectorFrame,
} from "../../../src/streams/wire/connector.ts";
import { copyOf } from "../../../src/streams/wire/bytes.ts";
import { FrameReader } from "../../../src/streams/wire/frame.ts";
import {
  CONTROL_STREAM,
  OUTPUT_STREAM,
  readTwoPhase,
  twoPhasePayload,
  type TwoPhaseMessage,
} from "../../../src/streams/wire/two-phase.ts";

const SINK = { host: "10.0.0.1", port: 5555 };
const DIRECTORY = "/out";

/** A worker's end of the conversation. */
class HandWorker {
  readonly frames: ConnectorFrame[] = [];
  isClosed = false;
  #socket: Socket | undefined;
  #waiting: (() => void) | undefined;

  static async connect(world: World, name = "worker2"): Promise<{ worker: HandWorker; position: number }> {
    const worker = new HandWorker();
    const reader = new FrameReader(() => 1 << 20);
    worker.#socket = await world.net.connect<undefined>({
      ...SINK,
      handlers: {
        open: () => undefined,
        data: (_socket, _state, chunk) =>
          reader.feed(chunk, (bytes, start, end) => {
            worker.frames.push(readConnectorFrame(copyOf(bytes.subarray(start, end))));
            worker.#waiting?.();
          }),
        drain: () => {},
        close: () => {
          worker.isClosed = true;
          worker.#waiting?.();
        },
      },
    });
    worker.send({ type: "hello", version: "0.0.1", cookie: "c", program: "app", instance: name });
    await worker.next("ok");
    worker.send({ type: "notify", streamId: OUTPUT_STREAM, name: "out", position: 0 });
    const { position } = await worker.next("notifyAck");
    return { worker, position: position ?? 0 };
  }

  send(frame: ConnectorFrame): void {
    this.#socket?.write(connectorFrame(frame));
  }

  /** The next frame of this type; others (credits) are passed over. */
  async next<Type extends ConnectorFrame["type"]>(
    type: Type,
  ): Promise<Extract<ConnectorFrame, { type: Type }>> {
    for (;;) {
      const at = this.frames.findIndex((frame) => frame.type === type);
      if (at >= 0) return this.frames.splice(at, 1)[0] as Extract<ConnectorFrame, { type: Type }>;
      if (this.isClosed) throw new Error("the sink closed the connection");
      await new Promise<void>((resolve) => (this.#waiting = resolve));
    }
  }

  output(offset: number, text: string): void {
    const message = { streamId: OUTPUT_STREAM, messageId: offset, eventTimeNs: 0n, key: new Uint8Array(0) };
    this.send({ type: "message", ...message, payload: Buffer.from(text) });
  }

  control(message: TwoPhaseMessage): void {
    const base = { streamId: CONTROL_STREAM, messageId: 0, eventTimeNs: 0n, key: new Uint8Array(0) };
    this.send({ type: "message", ...base, payload: twoPhasePayload(message) });
  }

  async phase1(checkpoint: number, start: number, end: number): Promise<boolean> {
    const transaction = `worker2:c_id=${checkpoint}`;
    this.control({ type: "phase1", transaction, ranges: [{ streamId: OUTPUT_STREAM, start, end }] });
    const reply = readTwoPhase((await this.next("message")).payload);
    return reply.type === "phase1Reply" && reply.transaction === transaction && reply.isCommit;
  }

  phase2(checkpoint: number, isCommit: boolean): void {
    this.control({ type: "phase2", transaction: `worker2:c_id=${checkpoint}`, isCommit });
  }

  async uncommitted(): Promise<string[]> {
    this.control({ type: "listUncommitted", request: 7n });
    const reply = readTwoPhase((await this.next("message")).payload);
    return reply.type === "replyUncommitted" && reply.request === 7n ? reply.transactions : ["?"];
  }

  close(): void {
    this.#socket?.terminate();
  }
}

interface Scene {
  cluster: SimCluster;
  sinkHost: SimHost;
  world: World;
  startSink(vote?: (isCommit: boolean) => boolean): Promise<TwoPhaseReceiver>;
  committed(): Promise<string>;
}

function scene(seed: number, play: (scene: Scene) => Promise<void>): void {
  const cluster = new SimCluster(seed);
  cluster.scheduler.run(async () => {
    const sinkHost = cluster.host(SINK.host);
    const { world } = cluster.host("10.0.0.2").start();
    let sinkWorld: World | undefined;
    const open: TwoPhaseReceiver[] = [];
    await play({
      cluster,
      sinkHost,
      world,
      async startSink(vote) {
        sinkWorld = sinkHost.start().world;
        const sink = new TwoPhaseReceiver({
          world: sinkWorld,
          address: SINK,
          directory: DIRECTORY,
          onCommit: () => {},
          onProblem: () => {},
          ...(vote !== undefined && { vote }),
        });
        await sink.listen();
        open.push(sink);
        return sink;
      },
      async committed() {
        const disk = (sinkWorld as World).disk;
        let text = "";
        for (const { chunks } of await committedParts(disk, DIRECTORY))
          for await (const chunk of chunks) text += Buffer.from(chunk).toString();
        return text;
      },
    });
    await open.at(-1)?.close();
  });
}

describe("a two-phase sink", () => {
  test("commits what was promised, and shows nothing else", () => {
    scene(1, async ({ world, startSink, committed }) => {
      await startSink();
      const { worker, position } = await HandWorker.connect(world);
      expect(position).toBe(0);
      expect(await worker.uncommitted()).toEqual([]);
      worker.output(0, "one");
      worker.output(3, "two");
      expect(await worker.phase1(1, 0, 6)).toBe(true);
      expect(await worker.uncommitted()).toEqual(["worker2:c_id=1"]);
      expect(await committed()).toBe("");
      worker.phase2(1, true);
      worker.output(6, "three");
      expect(await worker.uncommitted()).toEqual([]);
      expect(await committed()).toBe("onetwo");
    });
  });

  test("an aborted transaction is cut, and its offsets are written anew", () => {
    scene(2, async ({ world, startSink, committed }) => {
      const sink = await startSink();
      const { worker } = await HandWorker.connect(world);
      worker.output(0, "wrong");
      expect(await worker.phase1(1, 0, 5)).toBe(true);
      worker.phase2(1, false);
      worker.output(0, "right");
      expect(await worker.phase1(2, 0, 5)).toBe(true);
      worker.phase2(2, true);
      expect(await worker.uncommitted()).toEqual([]);
      expect(await committed()).toBe("right");
      expect(sink).toMatchObject({ commits: 1, rollbacks: 1 });
    });
  });

  test("a gap, a wrong end or a foreign stream is refused at the next phase 1; bytes that are here already are passed over", () => {
    scene(3, async ({ world, startSink, committed }) => {
      await startSink();
      const { worker } = await HandWorker.connect(world);
      worker.output(0, "abc");
      worker.output(1, "bcd");
      expect(await worker.phase1(1, 0, 4)).toBe(true);
      worker.phase2(1, true);
      worker.output(9, "far");
      // As many bytes as announced, but not those that follow.
      expect(await worker.phase1(2, 4, 7)).toBe(false);
      worker.phase2(2, false);
      worker.output(4, "e");
      expect(await worker.phase1(3, 4, 6)).toBe(false);
      worker.phase2(3, false);
      worker.output(4, "e");
      expect(await worker.phase1(4, 4, 5)).toBe(true);
      worker.phase2(4, true);
      expect(await worker.uncommitted()).toEqual([]);
      expect(await committed()).toBe("abcde");
    });
  });

  test("what nobody promised is forgotten when its worker comes back", () => {
    scene(4, async ({ world, startSink, committed }) => {
      await startSink();
      const first = (await HandWorker.connect(world)).worker;
      first.output(0, "safe");
      expect(await first.phase1(1, 0, 4)).toBe(true);
      first.phase2(1, true);
      first.output(4, "lost");
      await first.uncommitted();
      first.close();
      const { worker, position } = await HandWorker.connect(world);
      expect(position).toBe(4);
      worker.output(4, "kept");
      expect(await worker.phase1(2, 4, 8)).toBe(true);
      worker.phase2(2, true);
      expect(await worker.uncommitted()).toEqual([]);
      expect(await committed()).toBe("safekept");
    });
  });

  // The table of the original's six single-fault runs: vote and connection, at one checkpoint.
  test.each([
    ["votes abort", false, "none", ""],
    ["votes abort, connection lost before the reply is read", false, "after", ""],
    ["votes commit", true, "none", "x"],
    ["votes commit, connection lost after the reply", true, "after", "x"],
  ] as const)("A12: the sink %s", (_name, isCommit, closing, expected) => {
    scene(5, async ({ world, startSink, committed }) => {
      await startSink((vote) => vote && isCommit);
      const first = (await HandWorker.connect(world)).worker;
      first.output(0, "x");
      const vote = await first.phase1(3, 0, 1);
      expect(vote).toBe(isCommit);
      let worker = first;
      if (closing === "after") {
        first.close();
        worker = (await HandWorker.connect(world)).worker;
        for (const transaction of await worker.uncommitted())
          worker.control({ type: "phase2", transaction, isCommit: vote });
      } else {
        worker.phase2(3, vote);
      }
      await worker.uncommitted();
      expect(await committed()).toBe(expected);
    });
  });

  test("a second connection of a worker replaces the first", () => {
    scene(6, async ({ world, startSink }) => {
      const sink = await startSink();
      const first = (await HandWorker.connect(world)).worker;
      const { worker } = await HandWorker.connect(world);
      await worker.uncommitted();
      expect(first.isClosed).toBe(true);
      expect(sink.connects).toBe(2);
    });
  });

  test("a worker that comes back while its promise is being written finds all of it, or none", () => {
    for (let step = 0; step < 60; step++) {
      scene(step, async ({ cluster, world, startSink, committed }) => {
        await startSink();
        const first = (await HandWorker.connect(world)).worker;
        first.output(0, "whole");
        const ranges = [{ streamId: OUTPUT_STREAM, start: 0, end: 5 }];
        first.control({ type: "phase1", transaction: "worker2:c_id=1", ranges });
        await new Promise<void>((resolve) => cluster.scheduler.after(step * 0.05, resolve));
        first.close();
        const { worker, position } = await HandWorker.connect(world);
        const transactions = await worker.uncommitted();
        expect(position).toBe(transactions.length === 0 ? 0 : 5);
        for (const transaction of transactions)
          worker.control({ type: "phase2", transaction, isCommit: true });
        await worker.uncommitted();
        expect(await committed()).toBe(transactions.length === 0 ? "" : "whole");
      });
    }
  });

  test("bytes that are no frame cost only their connection", () => {
    scene(7, async ({ world, startSink }) => {
      await startSink();
      const { worker } = await HandWorker.connect(world, "other");
      worker.send({ type: "ok", credits: 1 });
      await worker.next("error");
      const good = await HandWorker.connect(world);
      expect(await good.worker.uncommitted()).toEqual([]);
    });
  });

  test.each(["../x", "a/b", ""])("the name %j leaves the directory alone", (name) => {
    scene(8, async ({ world, startSink }) => {
      await startSink();
      const failed = HandWorker.connect(world, name);
      expect((await failed.catch((error: Error) => error)) instanceof Error).toBe(true);
    });
  });
});

/** Commits, then a promise, then power loss: what the worker was told must be there when the sink starts again. */
function powerLoss(seed: number, vote?: (isCommit: boolean) => boolean): string[] {
  const violations: string[] = [];
  scene(seed, async ({ cluster, world, sinkHost, startSink, committed }) => {
    await startSink(vote);
    const random = cluster.scheduler.fork();
    let end = 0;
    let isPromised = false;
    const { worker } = await HandWorker.connect(world);
    const work = (async () => {
      for (let checkpoint = 1; ; checkpoint++) {
        const text = `${checkpoint}:`.padEnd(1 + random.integer(900), "z");
        worker.output(end, text);
        isPromised = await worker.phase1(checkpoint, end, end + text.length);
        worker.phase2(checkpoint, true);
        await worker.uncommitted();
        end += text.length;
        isPromised = false;
      }
    })().catch(() => undefined);
    await new Promise<void>((resolve) => cluster.scheduler.after(2 + random.float() * 20, resolve));
    sinkHost.losePower({ names: random.integer(2) === 0 ? "any" : "ordered", isTearing: true });
    worker.close();
    void work;
    await startSink();
    const again = await HandWorker.connect(world);
    const pending = await again.worker.uncommitted();
    for (const transaction of pending) again.worker.control({ type: "phase2", transaction, isCommit: true });
    await again.worker.uncommitted();
    const kept = (await committed()).length;
    if (kept < end) violations.push(`${end} bytes were committed, ${kept} are there`);
    if (isPromised && kept === end) violations.push("a promise is forgotten");
  });
  return violations;
}

describe("power loss of the sink", () => {
  test("keeps every promise and every commit", () => {
    for (let seed = 1; seed <= 60; seed++) expect(powerLoss(seed), `seed ${seed}`).toEqual([]);
  }, 120_000);
});
