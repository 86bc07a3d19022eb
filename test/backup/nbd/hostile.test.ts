/** NBD clients that mean no good, or are slow: bounded, closed, and nobody else waits for them. */
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Socket } from "bun";
import { type NbdExport, readerExport } from "../../../src/backup/nbd/device.ts";
import { Negotiation } from "../../../src/backup/nbd/negotiation.ts";
import { NbdClient } from "../../../src/backup/nbd/client.ts";
import { seededRandom } from "../../../src/core/seams/random.ts";
import { NbdTransmission } from "../../../src/native/nbd.ts";
import { Served } from "./volumes.ts";

setDefaultTimeout(60_000);

const MIB = 1 << 20;
const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.terminate();
});

/** A connection that says what a test likes; counts what comes. */
async function raw(port: number) {
  const state = { bytes: Buffer.alloc(0), received: 0, isClosed: false, keeps: true };
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      data: (_socket, chunk) => {
        state.received += chunk.byteLength;
        if (state.keeps) state.bytes = Buffer.concat([state.bytes, chunk]);
      },
      close: () => void (state.isClosed = true),
      error: () => undefined,
    },
  });
  sockets.push(socket);
  return { socket, state };
}

async function until(what: string, isSo: () => boolean): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (!isSo()) {
    if (performance.now() > deadline) throw new Error(`not within a minute: ${what}`);
    await Bun.sleep(5);
  }
}

function option(number: number, data: Uint8Array = new Uint8Array(0)): Buffer {
  const head = Buffer.alloc(16);
  head.write("IHAVEOPT");
  head.writeUInt32BE(number, 8);
  head.writeUInt32BE(data.byteLength, 12);
  return Buffer.concat([head, data]);
}

function request(type: number, offset: number, length: number, cookie = 1): Buffer {
  const head = Buffer.alloc(28);
  head.writeUInt32BE(0x25609513, 0);
  head.writeUInt16BE(type, 6);
  head.writeUInt32BE(cookie, 12);
  head.writeBigUInt64BE(BigInt(offset), 16);
  head.writeUInt32BE(length, 24);
  return head;
}

/** A client that has chosen the volume in the old way, and is in the transmission phase. */
async function chosen(port: number) {
  const client = await raw(port);
  client.socket.write(Buffer.concat([Buffer.from([0, 0, 0, 3]), option(1, Buffer.from("vol1"))]));
  await until("the export is chosen", () => client.state.received >= 28);
  return client;
}

/** `GO` for a name, asking for all information. */
function go(name: string): Buffer {
  const data = Buffer.alloc(4 + name.length + 2 + 6);
  data.writeUInt32BE(name.length, 0);
  data.write(name, 4);
  data.writeUInt16BE(3, 4 + name.length);
  [1, 2, 3].forEach((info, index) => data.writeUInt16BE(info, 6 + name.length + 2 * index));
  return option(7, data);
}

describe("the handshake", () => {
  const target = readerExport({ bytes: MIB, read: async () => undefined }, "zeros");
  const exports = new Map<string, NbdExport>([["vol1", target]]);
  const contexts = Buffer.concat([
    Buffer.from([0, 0, 0, 4]),
    Buffer.from("vol1"),
    Buffer.from([0, 0, 0, 1, 0, 0, 0, 15]),
    Buffer.from("base:allocation"),
  ]);
  const session = Buffer.concat([
    Buffer.from([0, 0, 0, 3]),
    option(3),
    option(8),
    option(10, contexts),
    option(9, contexts),
    option(6, go("vol1").subarray(16)),
    option(77),
    go("vol1"),
  ]);

  /** Feeds a session in pieces; what was chosen, if anything, and how many bytes were answered. */
  function play(bytes: Uint8Array, piece: number, tls: "none" | "required" = "none") {
    let answered = 0;
    const negotiation = new Negotiation({
      exports: () => exports,
      tls,
      send: (answer) => (answered += answer.byteLength),
    });
    negotiation.begin();
    for (let at = 0; at < bytes.byteLength; at += piece) {
      const step = negotiation.feed(bytes.subarray(at, at + piece));
      if (step.kind !== "more") return { step, answered };
    }
    return { step: undefined, answered };
  }

  test("is understood in pieces of any size", () => {
    const whole = play(session, session.byteLength);
    expect(whole.step?.kind).toBe("chosen");
    for (let piece = 1; piece < 40; piece++) expect(play(session, piece).answered).toBe(whole.answered);
  });

  test("survives sessions that are changed at random, without answering more than it was asked", () => {
    const random = seededRandom(3);
    const outcomes = new Set<string>();
    for (let round = 0; round < 20_000; round++) {
      const bytes = Buffer.from(session);
      for (let change = 0; change <= random.integer(4); change++)
        bytes[random.integer(bytes.byteLength)] = random.integer(256);
      const end = random.integer(4) === 0 ? random.integer(bytes.byteLength) : bytes.byteLength;
      const { step, answered } = play(
        bytes.subarray(0, end),
        1 + random.integer(60),
        random.integer(4) === 0 ? "required" : "none",
      );
      outcomes.add(step?.kind ?? "more");
      expect(answered).toBeLessThan(4096);
    }
    expect([...outcomes].sort()).toEqual(["chosen", "end", "more"]);
  });

  test("says nothing of its exports before TLS, where that is required", () => {
    const { step, answered } = play(session, 100, "required");
    expect(step).toBeUndefined();
    expect(answered).toBeGreaterThan(0);
    expect(
      play(Buffer.concat([Buffer.from([0, 0, 0, 3]), option(1, Buffer.from("vol1"))]), 50, "required").step
        ?.kind,
    ).toBe("end");
    // What stands behind STARTTLS in the clear is not believed.
    expect(
      play(Buffer.concat([Buffer.from([0, 0, 0, 3]), option(5), option(3)]), 100, "required").step?.kind,
    ).toBe("end");
  });

  test.each([
    [
      "an option of a gigabyte",
      Buffer.concat([
        Buffer.from([0, 0, 0, 3]),
        Buffer.from("IHAVEOPT"),
        Buffer.from([0, 0, 0, 7, 0x40, 0, 0, 0]),
      ]),
    ],
    ["flags that nobody knows", Buffer.from([0, 0, 1, 3])],
    [
      "options without end",
      Buffer.concat([Buffer.from([0, 0, 0, 3]), ...Array.from({ length: 2000 }, () => option(3))]),
    ],
    ["something else than an option", Buffer.concat([Buffer.from([0, 0, 0, 3]), Buffer.alloc(16, 1)])],
  ])("ends the connection at %s", async (_what, bytes) => {
    await using served = await Served.start();
    const { socket, state } = await raw(served.port);
    socket.write(bytes);
    await until("it is closed", () => state.isClosed);
  });
});

describe("requests", () => {
  test("with flags that nobody knows, or that were not agreed on, and questions about no context are refused", () => {
    const [fua, noHole, dontFragment, one, fastZero, unknown] = [1, 2, 4, 8, 16, 32];
    const [read, write, flush, zeroes, status] = [0, 1, 3, 6, 7];
    const errorOf = (type: number, flags: number, isStructured: boolean, hasStatus: boolean) => {
      const options = { id: 1, bytes: MIB, dataMax: MIB, writeUnit: 512, isReadOnly: false };
      const transmission = new NbdTransmission({ ...options, isStructured, hasStatus });
      const head = request(type, 0, type === flush ? 0 : 512);
      head.writeUInt16BE(flags, 4);
      transmission.feed(Buffer.concat([head, Buffer.alloc(type === write ? 512 : 0)]));
      // The second is taken all the same: its head is where it should be.
      transmission.feed(request(flush, 0, 0, 2));
      const taken = transmission.takeRequests();
      expect(taken.at(-1)?.type).toBe(flush);
      const out = Buffer.from(transmission.out.view());
      transmission.close();
      if (out.byteLength === 0) return taken.length === 2 ? 0 : -1;
      return out.readUInt32BE(isStructured ? 20 : 4);
    };
    const EINVAL = 22;
    for (const [type, flags, wanted] of [
      [read, fua, 0],
      [read, dontFragment, 0],
      [read, one, EINVAL],
      [write, fua, 0],
      [write, noHole, EINVAL],
      [flush, fua, 0],
      [flush, unknown, EINVAL],
      [zeroes, fua | noHole, 0],
      [zeroes, fastZero, 95],
      [status, one, 0],
      [status, dontFragment, EINVAL],
      [read, unknown, EINVAL],
    ] as [number, number, number][])
      expect([type, flags, errorOf(type, flags, true, true)]).toEqual([type, flags, wanted]);
    expect(errorOf(status as number, 0, true, false)).toBe(EINVAL);
    expect(errorOf(status as number, 0, true, true)).toBe(0);
    expect(errorOf(read as number, dontFragment as number, false, false)).toBe(EINVAL);
  });

  test("that are none end the connection, and only that one", async () => {
    await using served = await Served.start();
    await using other = await NbdClient.connect(served.world, {
      host: "127.0.0.1",
      port: served.port,
      name: "vol1",
    });
    const broken = [Buffer.alloc(28, 7), request(1, 0, 0xffff_ffff)];
    for (const bytes of broken) {
      const { socket, state } = await chosen(served.port);
      socket.write(bytes);
      await until("it is closed", () => state.isClosed);
    }
    await other.write(Buffer.alloc(4096, 5), 0);
    expect((await other.read(0, 4096)).every((byte) => byte === 5)).toBe(true);
  });

  test("at random leave the volume whole and the server up", async () => {
    await using served = await Served.start({ logBytes: MIB });
    const random = seededRandom(9);
    for (let round = 0; round < 60; round++) {
      const { socket, state } = await chosen(served.port);
      const parts = Array.from({ length: 20 }, () => {
        const length = random.integer(3) === 0 ? random.integer(2 ** 20) : random.integer(64) * 512;
        const head = request(random.integer(9), random.integer(20 * MIB), length);
        if (random.integer(6) === 0) head[random.integer(28)] = random.integer(256);
        return Buffer.concat([
          head,
          head.readUInt16BE(6) === 1 ? random.bytes(Math.min(length, 40_000)) : Buffer.alloc(0),
        ]);
      });
      state.keeps = false;
      socket.write(Buffer.concat(parts));
      if (random.integer(2) === 0) await Bun.sleep(2);
      socket.terminate();
    }
    await using other = await NbdClient.connect(served.world, {
      host: "127.0.0.1",
      port: served.port,
      name: "vol1",
    });
    await other.write(Buffer.alloc(8192, 9), 4096);
    await other.flush();
    const image = Buffer.from(await other.readAll());
    await served.close();
    await served.open();
    await using again = await NbdClient.connect(served.world, {
      host: "127.0.0.1",
      port: served.port,
      name: "vol1",
    });
    expect(Buffer.from(await again.readAll()).equals(image)).toBe(true);
  });

  test("of a client that does not read the answers take no memory without limit, and nobody waits", async () => {
    await using served = await Served.start({ bytes: 64 * MIB });
    const before = process.memoryUsage.rss();
    const greedy = await chosen(served.port);
    greedy.socket.pause();
    // Two hundred gigabytes, asked for in 200 KiB.
    const flood = Buffer.concat(Array.from({ length: 7000 }, (_, index) => request(0, 0, 32 * MIB, index)));
    greedy.socket.write(flood);
    await using other = await NbdClient.connect(served.world, {
      host: "127.0.0.1",
      port: served.port,
      name: "vol1",
    });
    for (let round = 0; round < 100; round++) {
      await other.write(Buffer.alloc(4096, round), round * 4096);
      expect((await other.read(round * 4096, 4096))[0]).toBe(round);
    }
    expect((process.memoryUsage.rss() - before) / MIB).toBeLessThan(400);
  });

  test("that stop in the middle of a write hold nobody up", async () => {
    await using served = await Served.start();
    const slow = await chosen(served.port);
    slow.socket.write(Buffer.concat([request(1, 0, 8 * MIB), Buffer.alloc(100_000)]));
    await using other = await NbdClient.connect(served.world, {
      host: "127.0.0.1",
      port: served.port,
      name: "vol1",
    });
    await other.write(Buffer.alloc(4096, 3), 0, true);
    await other.flush();
    expect((await other.read(0, 512))[0]).toBe(3);
  });

  test("of more clients than allowed are refused", async () => {
    await using served = await Served.start({ server: { connectionsMax: 2 } });
    await using first = await NbdClient.connect(served.world, {
      host: "127.0.0.1",
      port: served.port,
      name: "vol1",
    });
    const second = await chosen(served.port);
    const third = await raw(served.port);
    await until("the third is closed", () => third.state.isClosed);
    expect(second.state.isClosed).toBe(false);
    await first.flush();
  });
});
