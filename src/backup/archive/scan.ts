/**
 * Images read for the controller: the hash of a point (`bhash`) and its content (`virt-full-scan`).
 *
 *   bhash            > [VOL, GID, bulk?, size?]             < accept, dummies, end, ok, 16 bytes
 *   virt-full-scan   > [VOL, GID, bulk?, size?, sleep%?]    < accept, blocks, then per bulk next, stored size (0: zeros),
 *                                                             snappy bytes; end     > ack     < ok
 */
import { Codec, isZero } from "../../native/blocks.ts";
import { snappy } from "../formats/compression.ts";
import { BLOCK_BYTES } from "../formats/units.ts";
import { gidOf } from "../server/control.ts";
import { type Protocol, readAck, Refusal, type WalbServer } from "../server/server.ts";
import { Writer } from "../wire/serial.ts";
import { sendMark, StreamMark } from "../wire/streams.ts";
import { chainToPoint, firstBlocks, hashOf, imageAt } from "./reading.ts";
import { Sleeper } from "./sleeper.ts";
import type { ArchiveVolume } from "./volume.ts";
import { bulkOf, sizeOf } from "./words.ts";

const DUMMY_PERIOD_MS = 1000;

function percentOf(text: string | undefined): number {
  const percent = Number(text ?? 0);
  if (!Number.isInteger(percent) || percent < 0 || percent > 99) throw new Refusal(`bad percentage:${text}`);
  return percent;
}

async function request(words: string[], volume: ArchiveVolume, diffsMax: number) {
  const [, gid = "", bulk, size, percent] = words;
  const { length } = chainToPoint(volume, gidOf(gid));
  if (diffsMax > 0 && length > diffsMax)
    throw new Refusal(
      `${length} diffs would be opened together, at most ${diffsMax} may be: merge or apply some`,
    );
  const all = await volume.sizeBlocks();
  const blocks = Math.min(all, Math.floor(sizeOf(size, all * BLOCK_BYTES) / BLOCK_BYTES));
  return { gid: gidOf(gid), chunkBytes: bulkOf(bulk), blocks, percent: percentOf(percent) };
}

export function scanCommands(options: {
  server(): WalbServer;
  of(words: string[], least?: number): ArchiveVolume;
  /** Diffs that are opened together at most; 0 is no limit. */
  diffsMax: number;
}): Record<string, Protocol> {
  const { server, of, diffsMax } = options;
  return {
    async bhash(call) {
      const words = await call.reader.texts();
      const volume = of(words, 2);
      volume.demandActive("c2aBlockHashServer");
      const { gid, chunkBytes, blocks } = await request(words, volume, diffsMax);
      await server().foreground("c2aBlockHashServer", async () => {
        await call.answer("accept");
        const timer = volume.world.clock.every(
          DUMMY_PERIOD_MS,
          () => void sendMark(call.conversation, "dummy").catch(() => undefined),
        );
        const image = firstBlocks(imageAt(volume, gid, chunkBytes), blocks);
        const hash = await hashOf(image).finally(() => timer.cancel());
        await call.send(new Writer().u8(StreamMark.end).text("ok").raw(hash));
      });
    },
    async "virt-full-scan"(call) {
      const words = await call.reader.texts();
      const volume = of(words, 2);
      volume.demandActive("c2aVirtualFullScanServer");
      const { gid, chunkBytes, blocks, percent } = await request(words, volume, diffsMax);
      const codec = new Codec();
      const sleeper = new Sleeper(volume.world.clock, percent);
      try {
        await server().foreground("c2aVirtualFullScanServer", async () => {
          await call.answer("accept");
          await call.send(new Writer().u64(blocks));
          for await (const bulk of firstBlocks(imageAt(volume, gid, chunkBytes), blocks)) {
            const stored = isZero(bulk) ? new Uint8Array(0) : codec.encodeAlways(snappy.id, 0, bulk);
            await call.send(new Writer().u8(StreamMark.next).u64(stored.byteLength).raw(stored));
            await sleeper.rest();
          }
          await sendMark(call.conversation, "end");
          await readAck(call.reader);
          await call.send(new Writer().text("ok"));
        });
      } finally {
        codec.close();
      }
    },
  };
}
