import { expect, test } from "bun:test";
import type { NxError } from "../../../src/core/errors.ts";
import type { Socket, SocketHandlers } from "../../../src/core/seams/net.ts";
import { seededRandom } from "../../../src/core/seams/random.ts";
import { SimNetwork, type SimNetOptions } from "../../../src/core/sim/net.ts";
import { Scheduler } from "../../../src/core/sim/scheduler.ts";

interface Peer {
  received: number[];
  closes: string[];
  drains: number;
}

function recorder(onOpen: (socket: Socket) => void = () => undefined): {
  peer: Peer;
  handlers: SocketHandlers<Peer>;
} {
  const peer: Peer = { received: [], closes: [], drains: 0 };
  return {
    peer,
    handlers: {
      open(socket) {
        onOpen(socket);
        return peer;
      },
      data: (_, state, chunk) => void state.received.push(...chunk),
      drain: (_, state) => void state.drains++,
      close: (_, state, error) => void state.closes.push(error?.message ?? "end"),
    },
  };
}

interface Pair {
  scheduler: Scheduler;
  network: SimNetwork;
  client: Socket;
  server: Socket;
  clientPeer: Peer;
  serverPeer: Peer;
  wait: (ms: number) => Promise<void>;
}

function connected(
  seed: number,
  run: (pair: Pair) => Promise<void>,
  options: SimNetOptions = {},
): SimNetwork {
  const scheduler = new Scheduler(seed);
  const network = new SimNetwork(scheduler, options);
  const wait = (ms: number) => new Promise<void>((resolve) => scheduler.after(ms, resolve));
  scheduler.run(async () => {
    let server: Socket | undefined;
    const serverSide = recorder((socket) => (server = socket));
    const clientSide = recorder();
    const listener = await network
      .host("10.0.0.1")
      .listen({ host: "10.0.0.1", port: 0, handlers: serverSide.handlers });
    const client = await network
      .host("10.0.0.2")
      .connect({ host: "10.0.0.1", port: listener.port, handlers: clientSide.handlers });
    const both = {
      client,
      server: server as unknown as Socket,
      clientPeer: clientSide.peer,
      serverPeer: serverSide.peer,
    };
    await run({ scheduler, network, wait, ...both });
  });
  return network;
}

const pattern = (length: number) => seededRandom(length).bytes(length);

test("bytes arrive in order and once, in other pieces than they were written", () => {
  const sent = pattern(30_000);
  const network = connected(1, async ({ client, serverPeer, wait }) => {
    for (let at = 0; at < sent.byteLength; at += 100) client.write(sent.subarray(at, at + 100));
    await wait(1000);
    expect(Buffer.compare(Buffer.from(serverPeer.received), sent)).toBe(0);
  });
  network.faults.requireAll(["write split", "writes coalesced"]);
});

test("write takes what the buffer holds, and drain tells when there is room", () => {
  const sent = pattern(5000);
  connected(
    2,
    async ({ client, clientPeer, serverPeer, wait }) => {
      let at = client.write(sent);
      expect(at).toBe(1000);
      expect(client.write(sent)).toBe(0);
      while (at < sent.byteLength) {
        const { drains } = clientPeer;
        while (clientPeer.drains === drains) await wait(0.1);
        at += client.write(sent.subarray(at));
      }
      await wait(1000);
      expect(Buffer.compare(Buffer.from(serverPeer.received), sent)).toBe(0);
    },
    { sendBufferBytes: 1000 },
  );
});

test("end delivers what was written, then closes both sides once", () => {
  connected(3, async ({ client, server, clientPeer, serverPeer, wait }) => {
    client.write(pattern(3000));
    client.end();
    expect(client.write(pattern(1))).toBe(-1);
    await wait(1000);
    expect(serverPeer.received.length).toBe(3000);
    expect([clientPeer.closes, serverPeer.closes]).toEqual([["end"], ["end"]]);
    expect(server.write(pattern(1))).toBe(-1);
  });
});

test("a paused reader makes the writer feel it, and misses nothing", () => {
  connected(
    4,
    async ({ client, server, serverPeer, wait }) => {
      server.pause();
      expect(client.write(pattern(3000))).toBe(1000);
      await wait(100);
      expect(client.write(pattern(1))).toBe(0);
      expect(serverPeer.received.length).toBe(0);
      server.resume();
      await wait(100);
      expect(serverPeer.received.length).toBe(1000);
    },
    { sendBufferBytes: 1000 },
  );
});

test("a cut link stalls one direction until it heals", () => {
  const network = connected(5, async ({ network, client, server, clientPeer, serverPeer, wait }) => {
    network.cut("10.0.0.2", "10.0.0.1");
    client.write(pattern(10));
    server.write(pattern(20));
    await wait(10_000);
    expect([serverPeer.received.length, clientPeer.received.length]).toEqual([0, 20]);
    network.heal();
    await wait(100);
    expect(serverPeer.received.length).toBe(10);
    expect(serverPeer.closes).toEqual([]);
  });
  network.faults.requireAll(["link cut", "bytes stalled"]);
});

test("a reset drops what was under way and closes both sides with an error", () => {
  connected(6, async ({ network, client, clientPeer, serverPeer, wait }) => {
    client.write(pattern(50_000));
    expect(network.resetOne()).toBe(true);
    await wait(100);
    expect(serverPeer.received.length).toBeLessThan(50_000);
    expect([clientPeer.closes, serverPeer.closes]).toEqual([["ECONNRESET"], ["ECONNRESET"]]);
  });
});

test("the peers of a killed process hear a reset, those of a host without power hear nothing", () => {
  for (const [how, closes] of [
    ["process", ["ECONNRESET"]],
    ["power", []],
  ] as const) {
    connected(7, async ({ network, client, clientPeer, serverPeer, wait }) => {
      client.write(pattern(100));
      network.kill("10.0.0.1", how);
      await wait(1000);
      expect(serverPeer).toEqual({ received: [], closes: [], drains: 0 });
      expect(clientPeer.closes).toEqual([...closes]);
    });
  }
});

test("a chunk that is kept without copying is found out", () => {
  const scheduler = new Scheduler(8);
  const network = new SimNetwork(scheduler);
  let kept: Uint8Array = new Uint8Array(0);
  const handlers: SocketHandlers<undefined> = {
    open: () => undefined,
    data: (_, __, chunk) => void (kept = chunk),
    drain: () => undefined,
    close: () => undefined,
  };
  scheduler.run(async () => {
    const host = network.host("10.0.0.1");
    const { port } = await host.listen({ host: "127.0.0.1", port: 0, handlers });
    const client = await host.connect({ host: "127.0.0.1", port, handlers });
    client.write(new Uint8Array([1, 2, 3]));
    await new Promise<void>((resolve) => scheduler.after(100, resolve));
  });
  expect(kept[0]).toBe(0xdb);
});

test("connecting fails where nobody listens, where the link is cut, and a port is taken once", () => {
  const scheduler = new Scheduler(9);
  const network = new SimNetwork(scheduler);
  const { handlers } = recorder();
  const code = (promise: Promise<unknown>) =>
    promise.then(
      () => "connected",
      (error: NxError) => error.message,
    );
  scheduler.run(async () => {
    const [a, b] = [network.host("10.0.0.1"), network.host("10.0.0.2")];
    expect(await code(b.connect({ host: "10.0.0.1", port: 1, handlers }))).toContain("10.0.0.1:1: refused");
    await a.listen({ host: "10.0.0.1", port: 1, handlers });
    expect(await code(a.listen({ host: "10.0.0.1", port: 1, handlers }))).toContain("in use");
    network.cut("10.0.0.1", "10.0.0.2");
    expect(await code(b.connect({ host: "10.0.0.1", port: 1, handlers }))).toContain("no answer");
  });
});
