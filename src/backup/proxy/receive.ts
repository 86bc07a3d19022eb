/**
 * A storage ships its log: packs in, an indexed diff out, acknowledged when it is in every queue.
 *
 * Invariant: nothing is kept of a log that breaks off or is damaged; the storage sends it again.
 */
import { NxError } from "../../core/errors.ts";
import type { Disk } from "../../core/seams/disk.ts";
import { WDIFF_HEADER_BYTES, writeWdiffHeader } from "../../native/blocks.ts";
import { LogReader } from "../../native/log-reader.ts";
import { isClean } from "../algebra/snapshot.ts";
import { snappy } from "../formats/compression.ts";
import { logError } from "../formats/log-to-diff.ts";
import { BLOCK_BYTES } from "../formats/units.ts";
import { volumeOf } from "../server/control.ts";
import { ack, type Protocol, Refusal, type ServerCall, type WalbServer } from "../server/server.ts";
import { malformed } from "../wire/serial.ts";
import { readNext } from "../wire/streams.ts";
import { readDiff } from "../wire/values.ts";
import type { ByteSink } from "../formats/bytes.ts";
import type { ProxyVolume } from "./volume.ts";

export interface ReceiveOptions {
  server(): WalbServer;
  volume(name: string): ProxyVolume;
  disk: Disk;
  /** Where free space is looked for. */
  directory: string;
  onDiff(volume: ProxyVolume): void;
}

const SPACE_BYTES_LEFT = 1 << 20;
const CHUNK_BYTES_MAX = 65_536 * 4096;
const INDEX_BLOCKS_MAX = 2048;

export function logTransfer(options: ReceiveOptions): Protocol {
  const name = "s2pWlogTransferServer";
  return async (call) => {
    const { reader } = call;
    const volume = options.volume(volumeOf(await reader.text()));
    const uuid = await reader.raw(16);
    const physicalBytes = await reader.u32();
    const salt = await reader.u32();
    const blocks = await reader.count(
      Math.floor(Number.MAX_SAFE_INTEGER / BLOCK_BYTES),
      "the size of a volume",
    );
    const physicalMax = await reader.count(Number.MAX_SAFE_INTEGER / 4096, "the length of a log");
    if (physicalBytes !== 512 && physicalBytes !== 4096)
      throw new Refusal(`${name}:bad pbs:${physicalBytes}`);
    if (volume.state !== "Started" || volume.isReceiving || volume.isEmptying)
      throw new Refusal(`${name}:bad state:${volume.shownState}`);
    if (volume.stopState !== "NotStopping") throw new Refusal(`${name}:stopping:${volume.name}`);
    // Before anything is waited for: a volume that stops waits for whoever receives, and it must see them.
    volume.isReceiving = true;
    volume.cutReceiving = () => call.conversation.terminate("stopped by force");
    try {
      const { freeBytes } = await options.disk.space(options.directory);
      if (freeBytes < physicalMax * physicalBytes + SPACE_BYTES_LEFT)
        throw new Refusal(`${name}:not enough free space:${freeBytes}`);
      await options.server().foreground(name, async () => {
        await call.answer("accept");
        await volume.setBlocks(blocks);
        await volume.store((sink) => receiveLog(call, sink, { uuid, salt, physicalBytes }));
        await call.send(ack());
      });
    } finally {
      volume.isReceiving = false;
      volume.cutReceiving = undefined;
    }
    options.onDiff(volume);
  };
}

/** Takes the packs and their end; returns the diff that they make. */
async function receiveLog(
  { reader }: ServerCall,
  sink: ByteSink,
  { uuid, salt, physicalBytes }: { uuid: Uint8Array; salt: number; physicalBytes: number },
) {
  const log = new LogReader({ codec: snappy.id, level: 0, outOffset: WDIFF_HEADER_BYTES });
  try {
    log.beginPacks(salt, physicalBytes);
    await sink.append(writeWdiffHeader("indexed", uuid));
    while (await readNext(reader)) {
      const stored = await reader.count(CHUNK_BYTES_MAX, "the stored size of a chunk");
      const content = await reader.count(CHUNK_BYTES_MAX, "the size of a chunk");
      if (content === 0 || content % physicalBytes !== 0) throw malformed(`a chunk of ${content} bytes`);
      const bytes = await reader.view(stored === 0 ? content : stored);
      if (log.feed(bytes, stored === 0 ? 0 : content) === "failed") throw logError("the log", log);
      if (log.out.length < 1 << 20) continue;
      await sink.append(log.out.view());
      log.taken();
    }
    if (log.phase !== "packHeader") throw new NxError("NX_DATA_CORRUPT", "the log ends inside a pack");
    const diff = await readDiff(reader);
    if (!isClean(diff.from) || !isClean(diff.to)) throw malformed("a diff of a log that is not clean");
    await sink.append(log.out.view());
    log.taken();
    log.index(INDEX_BLOCKS_MAX);
    await sink.append(log.out.view());
    return diff;
  } finally {
    log.free();
  }
}
