/** Real sockets: limits, clients that misbehave, TLS. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createAuthority, issueCertificate, type CertificatePair } from "../../../src/core/certificates.ts";
import { createRealNet, realNet } from "../../../src/core/seams/net-real.ts";
import type { ConnectOptions, Socket } from "../../../src/core/seams/net.ts";
import { loadTls } from "../../../src/core/sockets/tls.ts";
import { realWorld } from "../../../src/core/seams/world-real.ts";
import { connectRaw, startEcho, TestDirectory, until, type TestInstance } from "./harness.ts";

const running: TestInstance[] = [];
const start = async (config: Record<string, unknown>) => {
  const started = await startEcho({ config });
  running.push(started);
  return { ...started, port: started.instance.ports.port as number };
};
afterEach(async () => {
  for (const instance of running.splice(0)) await instance[Symbol.asyncDispose]();
});

const echoStats = (started: TestInstance) => started.instance.stats().echo as Record<string, number>;

describe("connections", () => {
  test("2000 over the limit are closed at once, and those within it are served", async () => {
    const started = await start({ limits: { connections: 50 } });
    const within = await Promise.all(Array.from({ length: 50 }, () => connectRaw(started.port)));
    await until("50 connections", () => (echoStats(started).connections === 50 ? true : undefined));
    let closed = 0;
    for (let batch = 0; batch < 20; batch++) {
      const over = await Promise.all(Array.from({ length: 100 }, () => connectRaw(started.port)));
      await until("their close", () => (over.every(({ isClosed }) => isClosed) ? true : undefined));
      closed += over.length;
    }
    expect(closed).toBe(2000);
    expect(echoStats(started)).toMatchObject({ connections: 50, refused: 2000 });
    for (const client of within) client.socket.write("still here");
    await until("50 echoes", () =>
      within.every(({ received }) => received === "still here") ? true : undefined,
    );
    for (const { socket } of within) socket.end();
  });

  test("a client that never reads is paused at the high mark and keeps no more than that of ours", async () => {
    const started = await start({});
    const deaf = await connectRaw(started.port, { reads: false });
    const chunk = new Uint8Array(256 * 1024);
    let taken = 0;
    let rests = 0;
    while (rests < 30) {
      const count = deaf.socket.write(chunk);
      taken += Math.max(0, count);
      rests = count > 0 ? 0 : rests + 1;
      await Bun.sleep(2);
    }
    // What the kernel's buffers of both directions hold, not what a client can send without end.
    expect(taken).toBeLessThan(64 * 1024 * 1024);
    expect(deaf.isClosed).toBe(false);
    const other = await connectRaw(started.port);
    other.socket.write("hello");
    await until("the echo", () => (other.received === "hello" ? true : undefined));
    deaf.socket.terminate();
  });

  test("a client that never reads from a role that does not pause is closed at outboxBytesMax, with a log line", async () => {
    const started = await start({ greeting: 7, limits: { outboxBytesMax: 65_536 } });
    const deaf = await connectRaw(started.port, { reads: false });
    const chunk = new Uint8Array(256 * 1024);
    // A paused socket does not tell that it was closed: the server does.
    await until("the close", () => {
      deaf.socket.write(chunk);
      return started.lines.some((line) => line.includes("closed a slow client remote=127.0.0.1:"))
        ? true
        : undefined;
    });
    await until("its end", () => (echoStats(started).connections === 0 ? true : undefined));
    deaf.socket.terminate();
  });

  // `ss` (iproute2) is the one that shows both.
  test.skipIf(Bun.which("ss") === null)(
    "a listener has the backlog and its connections have the probes that were asked for",
    async () => {
      const handlers = { open: () => undefined, data: () => {}, drain: () => {}, close: () => {} };
      const { net } = realWorld();
      const keepAlive = { idleSeconds: 33, intervalSeconds: 3, probes: 3 }; // the runtime sets 5

      const where = { host: "127.0.0.1", port: 0 };
      const listener = await net.listen({ ...where, backlog: 37, keepAlive, handlers });
      const client = await net.connect({ host: "127.0.0.1", port: listener.port, handlers });
      const ask = (...words: string[]) => Bun.spawnSync(["ss", "-ntoH", ...words]).stdout.toString();
      expect(ask("-l", `sport = :${listener.port}`).trim().split(/\s+/)[2]).toBe("37");
      const timer = await until("the accepted connection", () => {
        const line = ask(`sport = :${listener.port}`);
        return line.includes("timer:(keepalive,") ? line : undefined;
      });
      expect(timer).toMatch(/timer:\(keepalive,3[123]sec,0\)/);
      client.terminate();
      listener.stop();
    },
  );

  test("what is written arrives whole and in order, however little the peer takes at once; nothing is taken behind the end", async () => {
    const { net } = realWorld();
    const bytes = new Uint8Array(24 << 20).map((_, index) => (index * 2_654_435_761) >>> 24);
    const writes: number[] = [];
    let sent = 0;
    const behindTheEnd: number[] = [];
    const pump = (socket: Socket) => {
      for (let taken = 1; taken > 0 && sent < bytes.byteLength; sent += Math.max(0, taken)) {
        taken = socket.write(bytes.subarray(sent, sent + (1 << 20)));
        writes.push(taken);
      }
      if (sent < bytes.byteLength) return;
      socket.end();
      behindTheEnd.push(socket.write(bytes.subarray(0, 1)));
    };
    const handlers = { open: pump, data() {}, drain: pump, close() {} };
    const listener = await net.listen({ host: "127.0.0.1", port: 0, handlers });
    const received: Uint8Array[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    const reader = await Bun.connect({
      hostname: "127.0.0.1",
      port: listener.port,
      socket: {
        data(socket, chunk) {
          received.push(new Uint8Array(chunk));
          // A slow reader, so that the kernel's buffers fill.
          socket.pause();
          setTimeout(() => socket.resume(), 1);
        },
        close: () => resolve(),
        end: (socket) => void socket.end(),
      },
    });
    await promise;
    reader.terminate();
    listener.stop();
    expect(Buffer.concat(received).equals(bytes)).toBe(true);
    expect(writes.some((taken) => taken < 1 << 20)).toBe(true);
    expect(behindTheEnd.every((taken) => taken <= 0)).toBe(true);
  }, 30_000); // 24 MiB past a slow reader: seconds on a busy machine

  test("a taken port is named, with the command that shows who has it", async () => {
    const started = await start({});
    const refused = startEcho({ config: { port: started.port } });
    await expect(refused).rejects.toMatchObject({
      code: "NX_LISTEN_IN_USE",
      message: `port 127.0.0.1:${started.port} is taken`,
      hint: expect.stringContaining(`ss -ltnp 'sport = :${started.port}'`),
    });
  });

  test("an address that is not of this host is refused as such", async () => {
    await expect(startEcho({ config: { host: "192.0.2.1" } })).rejects.toMatchObject({
      code: "NX_LISTEN_DENIED",
      message: expect.stringContaining("192.0.2.1"),
    });
  });

  test("nobody listening is an error with address and hint", async () => {
    const handlers = { open: () => 0, data() {}, drain() {}, close() {} };
    await expect(realNet.connect({ host: "127.0.0.1", port: 1, handlers })).rejects.toMatchObject({
      code: "NX_CONNECT_FAILED",
      message: expect.stringContaining("127.0.0.1:1"),
    });
  });

  test("an exception in open, data, drain or close ends that connection, is reported, and a socket never opened is never closed", async () => {
    for (const place of ["open", "data", "close"] as const) {
      const reports: string[] = [];
      const events: string[] = [];
      const fault = (here: string) => {
        events.push(here);
        if (here === place) throw new Error(`defect in ${here}`);
      };
      const net = createRealNet((error) => reports.push(error.message));
      const handlers = {
        open: () => fault("open"),
        data: () => fault("data"),
        drain() {},
        close: () => fault("close"),
      };
      const listener = await net.listen({ host: "127.0.0.1", port: 0, handlers });
      const client = await connectRaw(listener.port);
      client.socket.write("x");
      if (place === "close") client.socket.end();
      await until("the report", () => (reports.length > 0 ? true : undefined));
      await until("the close", () => (client.isClosed ? true : undefined));
      expect(reports).toEqual([`defect in ${place}`]);
      expect(events).toEqual(place === "open" ? ["open"] : ["open", "data", "close"]);
      listener.stop();
    }
  });
});

describe("TLS", () => {
  let directory: TestDirectory;
  let authority: CertificatePair;
  let foreign: CertificatePair;
  let server: CertificatePair;
  const nowMs = Date.now();
  const paths = { cert: "", key: "", clientCa: "" };
  const write = (name: string, text: string, mode = 0o600) => {
    const path = join(directory.path, name);
    writeFileSync(path, text);
    chmodSync(path, mode);
    return path;
  };

  beforeAll(async () => {
    directory = new TestDirectory();
    authority = await createAuthority("test authority", 10, nowMs);
    foreign = await createAuthority("foreign authority", 10, nowMs);
    server = await issueCertificate(authority, { name: "echo", hosts: ["localhost"], days: 5, nowMs });
    paths.cert = write("server.crt", server.certificate);
    paths.key = write("server.key", server.key);
    paths.clientCa = write("ca.crt", authority.certificate);
  });

  afterAll(() => directory[Symbol.dispose]());

  /** Connects, sends `hello`, resolves with the echo or with why there is none. */
  async function exchange(port: number, tls: NonNullable<ConnectOptions<unknown>["tls"]>): Promise<string> {
    return new Promise((resolve) => {
      const handlers = {
        open: (socket: Socket) => void socket.write(Buffer.from("hello")),
        data: (socket: Socket, _state: unknown, chunk: Uint8Array) => {
          resolve(new TextDecoder().decode(chunk));
          socket.end();
        },
        drain() {},
        close: (_socket: Socket, _state: unknown, error?: Error) =>
          resolve(`closed: ${error?.message ?? ""}`),
      };
      realNet
        .connect({ host: "127.0.0.1", port, tls, handlers })
        .catch((error: Error) => resolve(`refused: ${error.message}`));
    });
  }

  const client = async (issuer: CertificatePair) => {
    const pair = await issueCertificate(issuer, { name: "client", hosts: [], days: 5, nowMs });
    return { ca: authority.certificate, serverName: "localhost", cert: pair.certificate, key: pair.key };
  };
  const serverOnly = () => ({ ca: authority.certificate, serverName: "localhost" });

  test("serves over TLS and not in plain text", async () => {
    const { port } = await start({ tls: { cert: paths.cert, key: paths.key } });
    expect(await exchange(port, serverOnly())).toBe("hello");
    const plain = await connectRaw(port);
    plain.socket.write("hello");
    await until("the close", () => (plain.isClosed ? true : undefined));
    expect(plain.received).not.toContain("hello");
  });

  test("connections that never begin their handshake are bounded, and others get through meanwhile", async () => {
    const started = await start({ tls: { cert: paths.cert, key: paths.key } });
    const silent: Awaited<ReturnType<typeof connectRaw>>[] = [];
    for (let batch = 0; batch < 6; batch++)
      silent.push(...(await Promise.all(Array.from({ length: 50 }, () => connectRaw(started.port)))));
    await until("the oldest to be closed", () =>
      silent.filter(({ isClosed }) => isClosed).length === 300 - 128 ? true : undefined,
    );
    expect(echoStats(started).connections).toBe(0);
    // A peer that speaks gets through although no place is free.
    expect(await exchange(started.port, serverOnly())).toBe("hello");
    for (const { socket } of silent) socket.terminate();
  });

  test("the client refuses a server of another authority, and one with another name", async () => {
    const { port } = await start({ tls: { cert: paths.cert, key: paths.key } });
    expect(await exchange(port, { ca: foreign.certificate, serverName: "localhost" })).toStartWith(
      "refused: ",
    );
    expect(await exchange(port, { ca: authority.certificate, serverName: "elsewhere.example" })).toStartWith(
      "refused: ",
    );
  });

  test("with clientCa, serves only clients whose certificate it signed; the others are never open", async () => {
    const started = await start({ tls: paths });
    expect(await exchange(started.port, await client(authority))).toBe("hello");
    for (const stranger of [serverOnly(), await client(foreign)]) {
      expect(await exchange(started.port, stranger)).toMatch(/^(closed|refused): /);
    }
    expect(echoStats(started).bytes).toBe(5);
    await until("their end", () => (echoStats(started).connections === 0 ? true : undefined));
  });

  test("tells the identity of a verified client, and trusts none without clientCa", async () => {
    for (const clientCa of [authority.certificate, undefined]) {
      const identities: (string | undefined)[] = [];
      const handlers = {
        open: (socket: Socket) => void identities.push(socket.peerIdentity),
        data: (socket: Socket) => socket.end(),
        drain() {},
        close() {},
      };
      const tls = { cert: server.certificate, key: server.key, ...(clientCa !== undefined && { clientCa }) };
      const listener = await realNet.listen({ host: "127.0.0.1", port: 0, tls, handlers });
      await exchange(listener.port, await client(authority));
      expect(identities).toEqual([clientCa === undefined ? undefined : "node-x:client"]);
      listener.stop();
    }
  });

  test("the admin port takes part: token and client certificate", async () => {
    const tokenFile = write("token", "correct-horse\n");
    const { instance } = await start({ tls: paths, adminPort: 0, adminTokenFile: tokenFile });
    const url = `https://localhost:${instance.ports.adminPort}/readyz`;
    const { cert, key } = await client(authority);
    const headers = { authorization: "Bearer correct-horse" };
    expect((await fetch(url, { headers, tls: { ca: authority.certificate, cert, key } })).status).toBe(200);
    expect((await fetch(url, { tls: { ca: authority.certificate, cert, key } })).status).toBe(401);
    await expect(fetch(url, { headers, tls: { ca: authority.certificate } })).rejects.toThrow();
  });

  const refused = (files: { cert: string; key: string; clientCa?: string }, atMs = nowMs) => {
    try {
      loadTls(files, atMs);
    } catch (error) {
      return error;
    }
    throw new Error("it was accepted");
  };

  test("files that cannot serve are refused before any listener opens", () => {
    const day = 86_400_000;
    expect(refused({ ...paths, key: write("open.key", server.key, 0o644) })).toMatchObject({
      code: "NX_TLS_INVALID",
      message: expect.stringContaining("other users can access"),
    });
    expect(refused({ ...paths, key: write("foreign.key", foreign.key) })).toMatchObject({
      code: "NX_TLS_INVALID",
      message: expect.stringContaining("does not belong to"),
    });
    expect(
      refused({
        ...paths,
        cert: write("garbage.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
      }),
    ).toMatchObject({ code: "NX_TLS_INVALID" });
    expect(refused({ ...paths, cert: join(directory.path, "missing.crt") })).toMatchObject({
      code: "NX_TLS_INVALID",
      message: expect.stringContaining("missing.crt"),
    });
    expect(refused(paths, nowMs + 6 * day)).toMatchObject({
      code: "NX_TLS_INVALID",
      message: expect.stringContaining("expired"),
      hint: expect.stringContaining("tls rotate"),
    });
    expect(refused(paths, nowMs - day)).toMatchObject({
      code: "NX_TLS_INVALID",
      message: expect.stringContaining("not valid before"),
    });
  });
});
