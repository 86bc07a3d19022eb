/**
 * The log of a volume goes to a proxy (`wlog-transfer`).
 *
 *   client: VOL, uuid, u32 physical block, u32 salt, blocks, physical blocks at most      server: "accept"
 *   client: for each pack header and each record with data: next, stored size, size, snappy (0: raw); end
 *   client: the diff that it makes                                                        server: acknowledgement
 *
 * Invariant: whole packs only, exactly from mark to mark, and only what is durable. Nothing is noted here: whoever ships
 * notes it when this resolves.
 */
import { NxError } from "../../core/errors.ts";
import type { ThreadCalls } from "../../core/threads/thread-calls.ts";
import { clean } from "../algebra/snapshot.ts";
import { firstLine, readAck } from "../server/server.ts";
import type { Conversation } from "../wire/conversation.ts";
import { Writer } from "../wire/serial.ts";
import { sendMark } from "../wire/streams.ts";
import { writeDiff } from "../wire/values.ts";
import type { Transfer } from "./cuts.ts";
import type { FrameReply, FrameRequest } from "./frame.thread.ts";
import type { StorageVolume } from "./volume.ts";

const CHUNK_BYTES = 2 << 20;

export type Framer = Pick<ThreadCalls<FrameRequest, FrameReply>, "call">;

/** The position where the packs of a transfer end: a part of a log ends with a whole pack. */
export async function endOfTransfer(volume: StorageVolume, transfer: Transfer): Promise<bigint> {
  const { attached } = volume;
  if (!transfer.isPartial) return transfer.to.lsid;
  let end = transfer.from.lsid;
  const limit = transfer.to.lsid;
  while (end < limit) {
    const header = await attached.readLog(end, 1);
    const next = end + 1n + BigInt(new DataView(header.buffer).getUint16(6, true));
    if (next > limit && end > transfer.from.lsid) break;
    end = next;
  }
  return end;
}

/** Sends log [from, to) as the chunks of a stream. */
async function sendLog(
  conversation: Conversation,
  volume: StorageVolume,
  framer: Framer,
  from: bigint,
  to: bigint,
) {
  const { attached } = volume;
  const { physicalBytes, salt } = attached;
  const read = async (lsid: bigint, bytes: number) => {
    const left = Number(to - lsid);
    return attached.readLog(lsid, Math.min(left, Math.ceil(bytes / physicalBytes)));
  };
  let lsid = from;
  let wanted = CHUNK_BYTES;
  let ahead = lsid < to ? read(lsid, wanted) : undefined;
  while (lsid < to) {
    const bytes = await (ahead as Promise<Uint8Array>);
    const request = { kind: "packs", bytes, physicalBytes, salt, lsid } as const;
    const { framed, taken } = await framer.call(request, [bytes.buffer as ArrayBuffer]);
    if (taken < 0)
      throw new NxError("NX_DATA_CORRUPT", `${volume.name}: the log is damaged behind lsid ${lsid}`, {
        hint: "`reset-vol` and `hash-bkp` begin a log anew",
      });
    // Not one whole pack in it: it is longer than what was read.
    if (taken === 0) wanted *= 2;
    else wanted = CHUNK_BYTES;
    if (wanted > 64 << 20) throw new NxError("NX_DATA_CORRUPT", `${volume.name}: no pack at lsid ${lsid}`);
    lsid += BigInt(taken / physicalBytes);
    ahead = lsid < to ? read(lsid, wanted) : undefined;
    ahead?.catch(() => undefined);
    if (framed.byteLength > 0) await conversation.send(framed);
  }
}

export interface Shipment {
  transfer: Transfer;
  /** Where the log of it ends. */
  endLsid: bigint;
}

/** One transfer over an open conversation. Throws with the proxy's words when it refuses. */
export async function shipLog(
  conversation: Conversation,
  volume: StorageVolume,
  framer: Framer,
  { transfer, endLsid }: Shipment,
): Promise<void> {
  const { attached } = volume;
  const { from, to } = transfer;
  const { reader } = conversation;
  await conversation.send(
    new Writer()
      .text(volume.name)
      .raw(volume.uuid)
      .u32(attached.physicalBytes)
      .u32(attached.salt)
      .u64(attached.bytes / 512)
      .u64(endLsid - from.lsid),
  );
  const answer = await reader.text();
  if (answer !== "accept") throw new NxError("NX_CONNECT_FAILED", firstLine(answer));
  await sendLog(conversation, volume, framer, from.lsid, endLsid);
  await sendMark(conversation, "end");
  const diff = {
    isMergeable: from.isMergeable,
    isComparison: false,
    timestamp: to.timestamp,
    from: clean(from.gid),
    to: clean(to.gid),
    dataBytes: 0,
  };
  await conversation.send(writeDiff(new Writer(), diff));
  await readAck(reader);
}
