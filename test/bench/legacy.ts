/**
 * `bun run bench legacy`: the legacy swarm protocol beside our own Redis protocol, on one node that keeps nothing.
 *
 * Puts and gets of 64 bytes run from the same generator over the same keys, in turns; what is compared is the server's CPU
 * time for each request. Then a channel of a million records is read with GetAll. Exit code 1 when a floor is not held.
 */
import { z } from "zod";
import { encodeBatch } from "../../src/channels/wire/legacy/batch.ts";
import { keyText, LegacyNode } from "../../src/channels/client.ts";
import { requestBytes } from "../../src/channels/wire/legacy/client.ts";
import { Command } from "../../src/channels/wire/legacy/protocol.ts";
import { defaultFlag, integerFlag, numberFlag } from "../../src/core/load/flags.ts";
import { realWorld } from "../../src/core/seams/world-real.ts";
import { benchCommand, type Report } from "./command.ts";
import { median } from "./compare.ts";
import { freePort } from "../e2e/free-ports.ts";
import { CPU_TICKS_PER_SECOND, startServers, type BenchServer } from "./servers.ts";
import type { Limit } from "./verdict.ts";

const flags = z.object({
  rounds: defaultFlag(integerFlag(1, 100), "N", "Interleaved rounds", "5"),
  seconds: defaultFlag(numberFlag(0.1, 600), "S", "Length of one measurement", "2"),
  records: defaultFlag(integerFlag(1000, 100_000_000), "N", "Records of the channel for GetAll", "1000000"),
});

const CONNECTIONS = 50;
const KEYS = 100_000;
const VALUE = Buffer.alloc(64, "v");
const BLOCKS = 512;

const cpuLimit: Limit = {
  name: "CPU per request, legacy to Redis protocol",
  better: "lower",
  floor: 1.1,
  goal: 1,
};
const getAllLimit: Limit = {
  name: "GetAll records per second",
  better: "higher",
  floor: 1e6,
  goal: 2e6,
};

interface Protocol {
  name: string;
  port: number;
  put(key: string): Uint8Array;
  get(key: string): Uint8Array;
  putReplyBytes: number;
  getReplyBytes: number;
}

function protocols(legacyPort: number, respPort: number): Protocol[] {
  const words = (...all: string[]) =>
    Buffer.from(`*${all.length}\r\n${all.map((word) => `$${word.length}\r\n${word}\r\n`).join("")}`);
  return [
    {
      name: "legacy",
      port: legacyPort,
      put: (key) => requestBytes(Command.Put, "0", key, VALUE),
      get: (key) => requestBytes(Command.Get, "0", key),
      putReplyBytes: 4,
      getReplyBytes: 12 + VALUE.byteLength,
    },
    {
      name: "Redis protocol",
      port: respPort,
      put: (key) => words("SET", key, VALUE.toString()),
      get: (key) => words("GET", key),
      putReplyBytes: 5,
      getReplyBytes: 7 + VALUE.byteLength,
    },
  ];
}

interface Measured {
  requests: number;
  cpuMicros: number;
  perSecond: number;
}

/** Sends blocks of `pipeline` requests on every connection, each when the one before is answered in full. */
async function measure(
  server: BenchServer,
  port: number,
  blocks: Uint8Array[],
  pipeline: number,
  replyBytes: number,
  seconds: number,
): Promise<Measured> {
  let requests = 0;
  let isStopped = false;
  const blockReplyBytes = pipeline * replyBytes;
  const open = await Promise.all(
    Array.from({ length: CONNECTIONS }, async (_, index) => {
      let next = index * 7;
      let missing = blockReplyBytes;
      let unsent: Uint8Array = new Uint8Array(0);
      const sendBlock = (socket: Bun.Socket<undefined>) => {
        const block = blocks[next++ % blocks.length] as Uint8Array;
        missing = blockReplyBytes;
        unsent = block.subarray(socket.write(block));
      };
      return Bun.connect<undefined>({
        hostname: "127.0.0.1",
        port,
        socket: {
          open: sendBlock,
          drain(socket) {
            if (unsent.byteLength > 0) unsent = unsent.subarray(socket.write(unsent));
          },
          data(socket, chunk) {
            missing -= chunk.byteLength;
            if (missing < 0) throw new Error(`${-missing} bytes too many: not the answers that were wanted`);
            if (missing > 0) return;
            requests += pipeline;
            if (!isStopped) sendBlock(socket);
          },
        },
      });
    }),
  );
  const [startTicks, startMs] = [server.cpuTicks(), performance.now()];
  await Bun.sleep(seconds * 1000);
  const [ticks, durationMs] = [server.cpuTicks() - startTicks, performance.now() - startMs];
  const counted = requests;
  isStopped = true;
  for (const socket of open) socket.end();
  return {
    requests: counted,
    cpuMicros: (ticks / CPU_TICKS_PER_SECOND / counted) * 1e6,
    perSecond: (counted * 1000) / durationMs,
  };
}

async function fillChannel(node: LegacyNode, records: number): Promise<void> {
  for (let at = 0; at < records; at += 10_000) {
    const part = Array.from({ length: Math.min(10_000, records - at) }, (_, index) => ({
      key: keyText((BigInt(at + index) * 0x9e3779b97f4a7c15n) & 0xffff_ffff_ffff_ffffn),
      value: Buffer.from(
        `${at + index} value of this record, some text and a number ${(at + index) * 7}`.slice(0, 40),
      ),
    }));
    await node.sendRequest(requestBytes(Command.PutBatch, "all", encodeBatch(part)));
  }
}

async function measureGetAll(server: BenchServer, node: LegacyNode, port: number, records: number) {
  await fillChannel(node, records);
  const { promise, resolve } = Promise.withResolvers<void>();
  // Only the end is looked at: the empty array behind the last batch.
  let [tail, bytes] = [Buffer.alloc(0), 0];
  const [startTicks, startMs] = [server.cpuTicks(), performance.now()];
  const socket = await Bun.connect<undefined>({
    hostname: "127.0.0.1",
    port,
    socket: {
      data(_socket, chunk) {
        bytes += chunk.byteLength;
        tail = Buffer.concat([tail, chunk]).subarray(-11);
        if (tail.equals(Buffer.from("1100000000000000000000", "hex"))) resolve();
      },
    },
  });
  socket.write(requestBytes(Command.GetAll, "all"));
  await promise;
  const seconds = (performance.now() - startMs) / 1000;
  const cpuSeconds = (server.cpuTicks() - startTicks) / CPU_TICKS_PER_SECOND;
  socket.end();
  return { perSecond: records / seconds, cpuMicros: (cpuSeconds / records) * 1e6, bytes };
}

async function compare(options: z.output<typeof flags>, report: Report): Promise<void> {
  const port = await freePort();
  const server = await startServers["node-x"]("memory", { port });
  try {
    const keys = Array.from({ length: KEYS }, (_, index) => keyText(BigInt(index)));
    const compared = protocols(port, server.port);
    for (const pipeline of [1, 16]) {
      for (const operation of ["put", "get"] as const) {
        const results = compared.map(() => [] as Measured[]);
        const loads = compared.map((protocol) => ({
          protocol,
          blocks: Array.from({ length: BLOCKS }, (_, block) =>
            Buffer.concat(
              Array.from({ length: pipeline }, (_each, index) =>
                protocol[operation](keys[(block * 7919 + index * 104_729) % KEYS] as string),
              ),
            ),
          ),
        }));
        if (pipeline === 1 && operation === "put") {
          // Every key is there from the beginning, so no round makes records.
          const node = await LegacyNode.connect(realWorld(() => {}).net, { host: "127.0.0.1", port });
          for (let at = 0; at < KEYS; at += 1000)
            await node.putBatch(
              "0",
              keys.slice(at, at + 1000).map((key) => ({ key, value: VALUE })),
            );
          node.close();
        }
        for (let round = 0; round < options.rounds; round++) {
          // Turns change, so that neither is always the one behind a pause.
          const turns = [...loads.entries()];
          if (round % 2 === 1) turns.reverse();
          for (const [index, { protocol, blocks }] of turns) {
            const replyBytes = operation === "put" ? protocol.putReplyBytes : protocol.getReplyBytes;
            results[index]?.push(
              await measure(server, protocol.port, blocks, pipeline, replyBytes, options.seconds),
            );
          }
        }
        const [legacy, resp] = results.map((rounds) => ({
          cpu: median(rounds.map(({ cpuMicros }) => cpuMicros)),
          rate: median(rounds.map(({ perSecond }) => perSecond)),
        }));
        if (legacy === undefined || resp === undefined) continue;
        const text = `${legacy.cpu.toFixed(2)} us (${Math.round(legacy.rate / 1000)} k/s), Redis protocol ${resp.cpu.toFixed(2)} us (${Math.round(resp.rate / 1000)} k/s)`;
        report(cpuLimit, `${operation} 64 B, pipeline ${pipeline}`, legacy.cpu / resp.cpu, text);
      }
    }
    const node = await LegacyNode.connect(realWorld(() => {}).net, { host: "127.0.0.1", port });
    const all = await measureGetAll(server, node, port, options.records);
    node.close();
    const text = `${(all.perSecond / 1e6).toFixed(2)} M/s, ${all.cpuMicros.toFixed(2)} us CPU each, ${Math.round(all.bytes / 1e6)} MB`;
    report(getAllLimit, `GetAll of ${options.records}`, all.perSecond, text);
  } finally {
    await server.stop();
  }
}

export const benchLegacy = benchCommand({
  name: "legacy",
  summary: "Compare the legacy protocol with ours",
  flags,
  run: compare,
});
