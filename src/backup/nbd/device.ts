/**
 * What an NBD server exports, and what it gives to who answers the requests.
 *
 * Two ways to be an export: answer whole chunks (`NbdExport`, what a volume does), or only read blocks
 * (`readerExport`, for images that are put together while they are read).
 */
import type { NbdOutcome, NbdTransmission } from "../../native/nbd.ts";
import type { FilePair } from "../../core/seams/file-pair.ts";
import { NbdCommand, NbdError, type NbdRequest, NbdRequestFlag } from "../../native/nbd.ts";
import { Allocation, ALLOCATION_ID } from "./protocol.ts";

export interface NbdTraits {
  readonly bytes: number;
  readonly isReadOnly: boolean;
  /** A flush of one connection covers what was acknowledged on all of them. */
  readonly isShared: boolean;
  /** Writes begin and end at multiples of this (bytes). */
  readonly writeUnit: number;
  readonly preferredUnit: number;
  readonly description: string;
}

/** One client in the transmission phase, as its device sees it. */
export interface NbdPeer {
  readonly transmission: NbdTransmission;
  /** Sends what is in `transmission.out`. */
  send(): void;
  /** Sends these bytes, which may be reused afterwards. */
  sendBytes(bytes: Uint8Array): void;
  /** Reading stops while one of the reasons is on. */
  hold(reason: string, isOn: boolean): void;
  terminate(reason: string): void;
}

/** Takes the chunks of one client. */
export interface NbdDevice {
  feed(chunk: Uint8Array): NbdOutcome;
  /** The client is gone; its transmission is closed afterwards. */
  close(): void;
}

export interface NbdExport extends NbdTraits {
  open(peer: NbdPeer): NbdDevice;
}

/** Something whose blocks can be read at any offset. */
export interface BlockReader {
  readonly bytes: number;
  /** Fills `target`; throws when it cannot. */
  read(target: Uint8Array, offset: number): Promise<void>;
  /** Adds what it knows of a stretch, up to where `extents` is full; absent: all of it counts as data. */
  addExtents?(extents: Extents, offset: number, length: number): Promise<void>;
  close?(): Promise<void>;
}

/** Requests under way for one client. */
const UNDER_WAY_MAX = 4;
/** A block status answers at most for this much, and with so many extents. */
export const STATUS_BYTES_MAX = 256 << 20;
const STATUS_EXTENTS_MAX = 1024;

/** A read-only export of a reader. */
export function readerExport(reader: BlockReader, description: string): NbdExport {
  return {
    bytes: reader.bytes,
    isReadOnly: true,
    isShared: true,
    writeUnit: 512,
    preferredUnit: 4096,
    description,
    open: (peer) => new ReaderDevice(reader, peer),
  };
}

class ReaderDevice implements NbdDevice {
  readonly #reader: BlockReader;
  readonly #peer: NbdPeer;
  readonly #waiting: NbdRequest[] = [];
  #underWay = 0;

  constructor(reader: BlockReader, peer: NbdPeer) {
    this.#reader = reader;
    this.#peer = peer;
  }

  feed(chunk: Uint8Array): NbdOutcome {
    const { transmission } = this.#peer;
    const outcome = transmission.feed(chunk);
    if (transmission.hasRequests) this.#waiting.push(...transmission.takeRequests());
    this.#next();
    this.#peer.send();
    return outcome;
  }

  #next(): void {
    const { transmission } = this.#peer;
    while (this.#waiting.length > 0 && this.#underWay < UNDER_WAY_MAX && !transmission.isClosed) {
      const request = this.#waiting.shift() as NbdRequest;
      if (request.type === NbdCommand.read) void this.#answer(request, () => this.#read(request));
      else if (request.type === NbdCommand.blockStatus)
        void this.#answer(request, () => this.#status(request));
      else transmission.reply(request);
    }
    this.#peer.hold("requests wait", this.#waiting.length > 0);
  }

  async #answer(request: NbdRequest, work: () => Promise<void>): Promise<void> {
    this.#underWay += 1;
    const { transmission } = this.#peer;
    await work().catch(() => transmission.reply(request, NbdError.io));
    this.#underWay -= 1;
    if (transmission.isClosed) return;
    this.#next();
    this.#peer.send();
  }

  async #read(request: NbdRequest): Promise<void> {
    const target = new Uint8Array(request.length);
    await this.#reader.read(target, request.offset);
    this.#peer.transmission.replyData(request, target);
  }

  async #status({ cookie, offset, length, flags }: NbdRequest): Promise<void> {
    const extents = new Extents();
    const bytes = Math.min(length, STATUS_BYTES_MAX);
    if (this.#reader.addExtents === undefined) extents.add(bytes, false);
    else await this.#reader.addExtents(extents, offset, bytes);
    this.#peer.transmission.replyStatus(cookie, ALLOCATION_ID, extents.pairs(flags));
  }

  close(): void {
    this.#waiting.length = 0;
  }
}

/** Extents of a block status answer: neighbours of one kind joined, no more than an answer has. */
export class Extents {
  readonly #pairs: number[] = [];

  add(length: number, isHole: boolean): void {
    const flags = isHole ? Allocation.hole | Allocation.zero : 0;
    const last = this.#pairs.length - 2;
    if (last >= 0 && this.#pairs[last + 1] === flags)
      this.#pairs[last] = (this.#pairs[last] as number) + length;
    else this.#pairs.push(length, flags);
  }

  /** Adds a stretch of the second file of a pair, which may know its holes. */
  addOf(pair: FilePair, from: number, length: number, size: number): void {
    for (let done = 0; done < length && !this.isFull;) {
      const extent = pair.extent(from + done, size);
      const count = extent === undefined ? length - done : Math.min(extent.end - from - done, length - done);
      this.add(count, extent?.isHole === true);
      done += count;
    }
  }

  get isFull(): boolean {
    return this.#pairs.length >= 2 * STATUS_EXTENTS_MAX;
  }

  /** What a request with these flags is answered. */
  pairs(flags: number): Uint32Array {
    const most = (flags & NbdRequestFlag.requestOne) !== 0 ? 1 : STATUS_EXTENTS_MAX;
    return Uint32Array.from(this.#pairs.slice(0, most * 2));
  }
}
