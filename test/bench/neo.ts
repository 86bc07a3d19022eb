/**
 * `bun run bench neo`: requests of the neo protocol, pipelined, on one node that keeps nothing.
 *
 * Authenticated connections put and get 64 bytes in blocks, each sent when the one before was answered in full. Exit code 1
 * when the floor is not held.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { codeOf } from "../../src/channels/wire/neo/credentials.ts";
import { array, HEADER_BYTES, message, MessageType, u64 } from "../../src/channels/wire/neo/messages.ts";
import { Code } from "../../src/channels/wire/neo/protocol.ts";
import { defaultFlag, integerFlag, numberFlag } from "../../src/core/load/flags.ts";
import { benchCommand, type Report } from "./command.ts";
import { median } from "./compare.ts";
import { freePort } from "../e2e/free-ports.ts";
import { CPU_TICKS_PER_SECOND, startServers, type BenchServer } from "./servers.ts";
import type { Limit } from "./verdict.ts";

const flags = z.object({
  rounds: defaultFlag(integerFlag(1, 100), "N", "Rounds", "5"),
  seconds: defaultFlag(numberFlag(0.1, 600), "S", "Length of one measurement", "2"),
  connections: defaultFlag(integerFlag(1, 1000), "N", "Connections", "50"),
  pipeline: defaultFlag(integerFlag(1, 1000), "N", "Requests in a block", "16"),
});

const SECRET = Buffer.alloc(128, 7);
const KEYS = 100_000;
const VALUE = Buffer.alloc(64, "v");
const BLOCKS = 512;
const STATUS_BYTES = HEADER_BYTES + 9;

const limit = (operation: string): Limit => ({
  name: `neo ${operation} per second`,
  better: "higher",
  floor: 300_000,
  goal: 500_000,
});

const request = (id: number, code: number, index: number, ...more: Uint8Array[]) =>
  message(
    MessageType.request,
    u64(BigInt(id)),
    Uint8Array.of(code, 0),
    array("0"),
    u64(BigInt(index)),
    ...more,
  );

const operations = {
  put: { code: Code.Put, more: [array(VALUE)], replyBytes: 2 * STATUS_BYTES },
  get: { code: Code.Get, more: [], replyBytes: 2 * STATUS_BYTES + HEADER_BYTES + 16 + VALUE.byteLength },
} as const;

/** One authenticated connection that sends block after block. */
function client(
  port: number,
  next: () => Uint8Array,
  replyBytes: number,
  onBlock: () => boolean,
): Promise<Bun.Socket<undefined>> {
  const time = u64(BigInt(Math.floor(Date.now() / 1000)));
  let step = 0;
  let missing = 0;
  let early = Buffer.alloc(0);
  let unsent: Uint8Array = new Uint8Array(0);
  const send = (socket: Bun.Socket<undefined>) => {
    const block = next();
    missing = replyBytes;
    unsent = block.subarray(socket.write(block));
  };
  const authenticate = (socket: Bun.Socket<undefined>, chunk: Buffer) => {
    early = Buffer.concat([early, chunk]);
    if (step === 0 && early.byteLength >= 1) {
      early = early.subarray(1);
      step = 1;
      socket.write(Buffer.concat([Uint8Array.of(1), message(MessageType.authentication, time)]));
    }
    if (step === 1 && early.byteLength >= HEADER_BYTES + 4) {
      const code = codeOf(SECRET, time, early.subarray(HEADER_BYTES, HEADER_BYTES + 4));
      early = early.subarray(HEADER_BYTES + 4);
      step = 2;
      socket.write(message(MessageType.authentication, array("bench"), code));
    }
    if (step === 2 && early.byteLength >= HEADER_BYTES + 1) {
      if (early[HEADER_BYTES] !== 1) throw new Error("the node does not accept the benchmark");
      step = 3;
      send(socket);
    }
  };
  return Bun.connect<undefined>({
    hostname: "127.0.0.1",
    port,
    socket: {
      drain(socket) {
        if (unsent.byteLength > 0) unsent = unsent.subarray(socket.write(unsent));
      },
      data(socket, chunk) {
        if (step < 3) return authenticate(socket, chunk);
        missing -= chunk.byteLength;
        if (missing < 0) throw new Error(`${-missing} bytes too many: not the answers that were wanted`);
        if (missing === 0 && onBlock()) send(socket);
      },
    },
  });
}

async function measure(
  server: BenchServer,
  port: number,
  operation: keyof typeof operations,
  options: z.output<typeof flags>,
): Promise<{ perSecond: number; cpuMicros: number }> {
  const { code, more, replyBytes } = operations[operation];
  const blocks = Array.from({ length: BLOCKS }, (_, block) =>
    Buffer.concat(
      Array.from({ length: options.pipeline }, (_each, index) =>
        request(index + 1, code, (block * 7919 + index * 104_729) % KEYS, ...more),
      ),
    ),
  );
  let [requests, isStopped] = [0, false];
  const open = await Promise.all(
    Array.from({ length: options.connections }, (_, index) => {
      let turn = index * 7;
      return client(
        port,
        () => blocks[turn++ % BLOCKS] as Uint8Array,
        replyBytes * options.pipeline,
        () => {
          requests += options.pipeline;
          return !isStopped;
        },
      );
    }),
  );
  await Bun.sleep(200);
  const [startTicks, startMs, before] = [server.cpuTicks(), performance.now(), requests];
  await Bun.sleep(options.seconds * 1000);
  const [ticks, durationMs, counted] = [
    server.cpuTicks() - startTicks,
    performance.now() - startMs,
    requests - before,
  ];
  isStopped = true;
  for (const socket of open) socket.end();
  return {
    perSecond: (counted * 1000) / durationMs,
    cpuMicros: (ticks / CPU_TICKS_PER_SECOND / counted) * 1e6,
  };
}

/** Every key is there from the beginning, so that each get has the answer that is expected. */
async function fill(port: number): Promise<void> {
  let at = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  const block = () =>
    Buffer.concat(
      Array.from({ length: 1000 }, (_, index) => request(index + 1, Code.Put, at + index, array(VALUE))),
    );
  const socket = await client(port, block, 1000 * operations.put.replyBytes, () => {
    at += 1000;
    if (at >= KEYS) resolve();
    return at < KEYS;
  });
  await promise;
  socket.end();
}

async function run(options: z.output<typeof flags>, report: Report): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "node-x-bench-neo-"));
  const credentialsFile = join(directory, "credentials");
  writeFileSync(credentialsFile, `bench:${SECRET.toString("hex")}\n`, { mode: 0o600 });
  const neoPort = await freePort();
  const server = await startServers["node-x"]("memory", { neoPort, neo: { credentialsFile } });
  try {
    await fill(neoPort);
    for (const operation of ["put", "get"] as const) {
      const results = [];
      for (let round = 0; round < options.rounds; round++)
        results.push(await measure(server, neoPort, operation, options));
      const perSecond = median(results.map((result) => result.perSecond));
      const cpuMicros = median(results.map((result) => result.cpuMicros));
      const line = `${operation}, ${options.connections} connections x ${options.pipeline} pipelined`;
      const text = `${Math.round(perSecond).toLocaleString("en-US")}/s, ${cpuMicros.toFixed(2)} us CPU a request`;
      report(limit(operation), line, perSecond, text);
    }
  } finally {
    await server.stop();
    rmSync(directory, { recursive: true });
  }
}

export const benchNeo = benchCommand({
  name: "neo",
  summary: "Measure pipelined requests of the neo protocol",
  flags,
  run,
});
