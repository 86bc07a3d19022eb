/**
 * What an NBD server exports, and what it gives to who answers the requests.
 *
 * Two ways to be an export: answer whole chunks (`NbdExport`, what a volume does), or only read blocks
 * (`readerExport`, for images that are put together while they are read).
 */
import type { NbdOutcome, NbdTransmission } from "../../native/nbd.ts";
import { NbdCommand, NbdError, type NbdRequest } from "../../native/nbd.ts";
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
  close?(): Promise<void>;
}

/** Reads under way for one client. */
const READS_MAX = 4;

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
  #reading = 0;

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
    while (this.#waiting.length > 0 && this.#reading < READS_MAX && !transmission.isClosed) {
      const request = this.#waiting.shift() as NbdRequest;
      if (request.type === NbdCommand.read) void this.#read(request);
      else if (request.type === NbdCommand.blockStatus)
        transmission.replyStatus(request.cookie, ALLOCATION_ID, Uint32Array.of(request.length, 0));
      else transmission.reply(request);
    }
    this.#peer.hold("reads wait", this.#waiting.length > 0);
  }

  async #read(request: NbdRequest): Promise<void> {
    this.#reading += 1;
    const { transmission } = this.#peer;
    try {
      const target = new Uint8Array(request.length);
      await this.#reader.read(target, request.offset);
      transmission.replyData(request, target);
    } catch {
      transmission.reply(request, NbdError.io);
    }
    this.#reading -= 1;
    if (transmission.isClosed) return;
    this.#next();
    this.#peer.send();
  }

  close(): void {
    this.#waiting.length = 0;
  }
}

/** Extents of a block status answer: at most `length` bytes, neighbours of one kind joined. */
export class Extents {
  readonly #pairs: number[] = [];

  add(length: number, isHole: boolean): void {
    const flags = isHole ? Allocation.hole | Allocation.zero : 0;
    const last = this.#pairs.length - 2;
    if (last >= 0 && this.#pairs[last + 1] === flags)
      this.#pairs[last] = (this.#pairs[last] as number) + length;
    else this.#pairs.push(length, flags);
  }

  get count(): number {
    return this.#pairs.length / 2;
  }

  pairs(most = Number.POSITIVE_INFINITY): Uint32Array {
    return Uint32Array.from(this.#pairs.slice(0, Math.min(this.#pairs.length, most * 2)));
  }
}
