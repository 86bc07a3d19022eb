/**
 * A client of one logfiles node over the neo protocol: puts, and ranges read only as fast as they are taken.
 *
 * Keys are signed here, unlike in the legacy protocol. Invariant: a lost connection rejects every request that waits.
 */
import { NxError } from "../../../core/errors.ts";
import { lzoDecode } from "../../../native/lzo.ts";
import { StatusError } from "../legacy/client.ts";
import type { LogQuery, LogRecord, RegexMode } from "../legacy/logfiles-client.ts";
import { Status } from "../legacy/protocol.ts";
import { NeoPeer, type NeoTarget, NeoWire } from "./connection.ts";
import { array, u64 } from "./messages.ts";
import { PayloadReader } from "./payload-reader.ts";
import { LogfilesCode, logfilesVersions, RangeControl, RangeMessage } from "./protocol.ts";

const KEY_MAX = 0x7fff_ffff_ffff_ffffn;
const modes: Record<RegexMode, number> = { substring: 1, regex: 2, regexIgnoringCase: 3 };
/** A batch is cut at 100 000 bytes, behind a record, which may be long. */
const BATCH_BYTES_MAX = 1024 * 1024 * 1024;

const signed = (key: bigint) => u64(BigInt.asUintN(64, key));

export class NeoLogfilesNode extends NeoPeer {
  /** Connects and authenticates. Throws NX_CONNECT_FAILED, also when the node does not accept the credential. */
  static async connect(...target: NeoTarget): Promise<NeoLogfilesNode> {
    return new NeoLogfilesNode(await NeoWire.connect(...target));
  }

  /** Throws StatusError 500 for everything that the node does not take: this protocol does not say why. */
  async put(channel: string, key: bigint, value: Uint8Array | string): Promise<void> {
    const payload = [array(channel), signed(key), array(value)];
    const { id, queue } = await this.wire.begin(LogfilesCode.Put, logfilesVersions.Put, ...payload);
    const [answer] = await queue.take();
    this.wire.release(id);
    if (answer !== 1) throw new StatusError(Status.Error);
  }

  /** Records of a range of keys (both ends included; 0 and 2^63 - 1 when absent), batch by batch. */
  async *records(channel: string, query: LogQuery = {}): AsyncGenerator<LogRecord[]> {
    const { low = 0n, high = KEY_MAX, filter, mode = "substring" } = query;
    const { id, queue } = await this.wire.begin(
      LogfilesCode.GetRange,
      logfilesVersions.GetRange,
      array(channel),
      signed(low),
      signed(high),
      array(filter ?? ""),
      Uint8Array.of(filter === undefined ? 0 : modes[mode]),
    );
    const tell = (control: number) => this.wire.tell(id, Uint8Array.of(control));
    let hasEnded = false;
    try {
      if ((await queue.take())[0] !== RangeMessage.started) {
        hasEnded = true;
        throw new StatusError(Status.Error);
      }
      for (;;) {
        const reader = new PayloadReader(await queue.take());
        const kind = reader.u8();
        if (kind === RangeMessage.records) {
          yield recordsOf(reader);
          tell(RangeControl.continue);
          continue;
        }
        hasEnded = true;
        if (kind !== RangeMessage.finished) throw new StatusError(Status.Error);
        tell(RangeControl.ack);
        return;
      }
    } finally {
      if (!hasEnded && !this.isClosed) tell(RangeControl.stop);
      this.wire.release(id);
    }
  }
}

/** `u64 length of the content | array LZO stream`; the content is `i64 key | array value` again and again. */
function recordsOf(reader: PayloadReader): LogRecord[] {
  const length = reader.u64();
  const content = length > BigInt(BATCH_BYTES_MAX) ? undefined : lzoDecode(reader.array(), Number(length));
  if (content === undefined)
    throw new NxError("NX_CONNECT_FAILED", "the node sent a batch that cannot be decoded");
  const records: LogRecord[] = [];
  for (const batch = new PayloadReader(content); !batch.isAtEnd;)
    records.push({ key: BigInt.asIntN(64, batch.u64()), value: Buffer.from(batch.array()) });
  return records;
}
