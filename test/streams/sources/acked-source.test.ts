/** Acknowledged input: what the connector protocol promises to senders, over a simulated network. */
import { expect, test } from "bun:test";
import { silentLog } from "../../../src/core/logging/log.ts";
import type { Socket } from "../../../src/core/seams/net.ts";
import { SimCluster } from "../../../src/core/sim/world.ts";
import { framed } from "../../../src/streams/api/index.ts";
import type { SourceNode } from "../../../src/streams/plan/nodes.ts";
import { AckedSource } from "../../../src/streams/sources/acked-source.ts";
import {
  CONNECTOR_VERSION,
  type ConnectorFrame,
  connectorFrame,
  readConnectorFrame,
} from "../../../src/streams/wire/connector.ts";
import { FrameReader } from "../../../src/streams/wire/frame.ts";

const node: SourceNode = {
  kind: "source",
  id: 0,
  inputs: [],
  name: "in",
  framing: framed(),
  decode: () => undefined,
};

class Client {
  readonly frames: ConnectorFrame[] = [];
  isClosed = false;
  #socket: Socket | undefined;

  static async connect(bench: Bench): Promise<Client> {
    const client = new Client();
    const reader = new FrameReader();
    client.#socket = await bench.world.net.connect<undefined>({
      host: "10.0.0.1",
      port: 7000,
      handlers: {
        open: () => undefined,
        data: (_socket, _state, chunk) =>
          reader.feed(
            chunk,
            (bytes, start, end) => void client.frames.push(readConnectorFrame(bytes, start, end)),
          ),
        drain: () => {},
        close: () => {
          client.isClosed = true;
        },
      },
    });
    return client;
  }

  send(...frames: ConnectorFrame[]): void {
    this.#socket?.write(Buffer.concat(frames.map(connectorFrame)));
  }

  end(): void {
    this.#socket?.end();
  }

  last<Type extends ConnectorFrame["type"]>(type: Type): Extract<ConnectorFrame, { type: Type }> | undefined {
    return this.frames.findLast((frame) => frame.type === type) as never;
  }
}

const hello: ConnectorFrame = {
  type: "hello",
  version: CONNECTOR_VERSION,
  cookie: "c",
  program: "p",
  instance: "1",
};
const notify = (stream: number): ConnectorFrame => ({
  ...{ type: "notify", streamId: BigInt(stream), name: "s", position: 0 },
});
const message = (stream: number, messageId: number): ConnectorFrame => ({
  ...{ type: "message", streamId: BigInt(stream), messageId, eventTimeNs: 0n, key: new Uint8Array(0) },
  payload: Buffer.from(`${stream}/${messageId}`),
});

class Bench {
  readonly sim = new SimCluster(1);
  readonly world = this.sim.host("10.0.0.2").start().world;
  readonly fed: string[] = [];
  readonly source: AckedSource;

  constructor(credits = 100) {
    const { net, clock } = this.sim.host("10.0.0.1").start().world;
    this.source = new AckedSource(
      node,
      {
        feed: (_node, bytes, start, end) =>
          void this.fed.push(Buffer.from(bytes.subarray(start, end)).toString()),
        feedValue: () => {},
        onBatchEnd: () => {},
      },
      {
        net,
        clock,
        log: silentLog(),
        host: "10.0.0.1",
        port: 7000,
        tls: undefined,
        connectionsMax: 10,
        cookie: "c",
        credits,
      },
    );
  }

  pause(ms = 50): Promise<void> {
    return new Promise((resolve) => {
      this.sim.scheduler.after(ms, resolve);
    });
  }

  run(life: () => Promise<void>): void {
    this.sim.scheduler.run(
      async () => {
        await this.source.open();
        this.source.go();
        await life();
      },
      { timeLimitMs: 60_000 },
    );
  }
}

test("a sender hears where its stream is acknowledged, and that is what a committed checkpoint held", () => {
  const bench = new Bench();
  bench.run(async () => {
    const client = await Client.connect(bench);
    client.send(hello, notify(1), message(1, 10), message(1, 20));
    await bench.pause();
    expect(client.last("notifyAck")).toMatchObject({ isAccepted: true, position: undefined });
    expect(client.last("ack")).toBeUndefined();
    const position = bench.source.position();
    client.send(message(1, 30));
    await bench.pause();
    bench.source.committed(position);
    await bench.pause();
    expect(client.last("ack")?.positions).toEqual([{ streamId: 1n, position: 20 }]);
    expect(bench.fed).toEqual(["1/10", "1/20", "1/30"]);
  });
});

test("what is sent again after a break is dropped, and resuming begins behind what is acknowledged", () => {
  const bench = new Bench();
  bench.run(async () => {
    const first = await Client.connect(bench);
    first.send(hello, notify(1), message(1, 1), message(1, 2));
    await bench.pause();
    bench.source.committed({ "1": 1 });
    first.end();
    await bench.pause();
    const second = await Client.connect(bench);
    second.send(hello, notify(1), message(1, 2), message(1, 3));
    await bench.pause();
    expect(second.last("notifyAck")).toMatchObject({ isAccepted: true, position: 1 });
    expect(bench.fed).toEqual(["1/1", "1/2", "1/3"]);
  });
});

test("after the cluster went back the clients are told to start again, and the messages since come again", () => {
  const bench = new Bench();
  bench.run(async () => {
    const client = await Client.connect(bench);
    client.send(hello, notify(1), message(1, 1), message(1, 2));
    await bench.pause();
    bench.source.rest();
    await bench.source.rollBack({ "1": 1 });
    bench.source.go();
    await bench.pause();
    expect(client.last("restart")).toBeDefined();
    expect(client.isClosed).toBe(true);
    const again = await Client.connect(bench);
    again.send(hello, notify(1), message(1, 2));
    await bench.pause();
    expect(bench.fed).toEqual(["1/1", "1/2", "1/2"]);
  });
});

test("a stream that another connection has is not given away", () => {
  const bench = new Bench();
  bench.run(async () => {
    const first = await Client.connect(bench);
    first.send(hello, notify(7));
    await bench.pause();
    const second = await Client.connect(bench);
    second.send(hello, notify(7));
    await bench.pause();
    expect(second.last("notifyAck")?.isAccepted).toBe(false);
  });
});

test("more frames than credits, an unknown stream, a wrong cookie: an error and the end", () => {
  const wrongs: [string, ConnectorFrame[]][] = [
    ["credits", [hello, notify(1), ...Array.from({ length: 300 }, (_, index) => message(1, index + 1))]],
    ["was not notified", [hello, message(9, 1)]],
    ["cookie", [{ ...hello, cookie: "other" } as ConnectorFrame]],
    ["hello", [notify(1)]],
  ];
  for (const [text, frames] of wrongs) {
    const bench = new Bench(4);
    bench.run(async () => {
      const client = await Client.connect(bench);
      bench.source.rest();
      client.send(...frames);
      await bench.pause();
      bench.source.go();
      await bench.pause();
      expect(client.last("error")?.text).toContain(text);
      expect(client.isClosed).toBe(true);
    });
  }
});

test("while the source rests no credits are given back, and nothing that arrived is lost", () => {
  const bench = new Bench(4);
  bench.run(async () => {
    const client = await Client.connect(bench);
    client.send(hello, notify(1), message(1, 1));
    await bench.pause();
    bench.source.rest();
    const before = client.frames.length;
    client.send(message(1, 2), message(1, 3));
    await bench.pause();
    expect(bench.fed).toEqual(["1/1"]);
    expect(client.frames.length).toBe(before);
    bench.source.go();
    await bench.pause();
    expect(bench.fed).toEqual(["1/1", "1/2", "1/3"]);
    expect(client.frames.length).toBeGreaterThan(before);
  });
});

test("a stream that ended is acknowledged once more and can be opened by somebody else", () => {
  const bench = new Bench();
  bench.run(async () => {
    const first = await Client.connect(bench);
    first.send(hello, notify(1), message(1, 5), { type: "endOfStream", streamId: 1n });
    await bench.pause();
    bench.source.committed(bench.source.position());
    await bench.pause();
    expect(first.last("ack")?.positions).toEqual([{ streamId: 1n, position: 5 }]);
    const second = await Client.connect(bench);
    second.send(hello, notify(1));
    await bench.pause();
    expect(second.last("notifyAck")).toMatchObject({ isAccepted: true, position: 5 });
  });
});
