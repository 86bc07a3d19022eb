/**
 * A volume as an NBD export: chunks of clients go into its log in one call, reads are answered from memory where they can
 * be, and otherwise when the disk has them.
 */
import type { NbdOutcome } from "../../native/nbd.ts";
import { NbdError, type NbdRequest } from "../../native/nbd.ts";
import { STRETCH_BYTES, StretchSource } from "../../native/stretches.ts";
import type { PlannedRead } from "../../native/volume.ts";
import { stretchesOf } from "../../core/seams/file-pair.ts";
import { Extents, type NbdDevice, type NbdExport, type NbdPeer, STATUS_BYTES_MAX } from "../nbd/device.ts";
import { ALLOCATION_ID } from "../nbd/protocol.ts";
import { BLOCK_BYTES } from "../formats/units.ts";
import type { VolumeEngine } from "./engine.ts";

/** Writes of clients that wait for room in the log: with more, they are not read any more. */
const HELD_BYTES_HIGH = 8 << 20;
/** Late reads of one client that are under way. */
const LATE_BYTES_HIGH = 64 << 20;

export class VolumeExport implements NbdExport {
  readonly engine: VolumeEngine;
  readonly isReadOnly = false;
  readonly isShared = true;
  readonly writeUnit = BLOCK_BYTES;
  readonly preferredUnit = 4096;
  readonly #clients = new Map<number, VolumeClient>();

  constructor(engine: VolumeEngine) {
    this.engine = engine;
    engine.events = {
      ...engine.events,
      onReady: (ids) => {
        for (const id of ids) this.#clients.get(id)?.peer.send();
      },
      onRoom: () => this.holdIfFull(),
    };
  }

  get bytes(): number {
    return this.engine.bytes;
  }

  get description(): string {
    return `a volume of node-x with a log of ${Number(this.engine.ringBlocks) * this.engine.physicalBytes} bytes`;
  }

  get clients(): number {
    return this.#clients.size;
  }

  /** Clients whose writes would only wait are not read. */
  holdIfFull(): void {
    const isFull = this.engine.log.heldBytes > HELD_BYTES_HIGH;
    for (const client of this.#clients.values()) client.peer.hold("the log is full", isFull);
  }

  open(peer: NbdPeer): NbdDevice {
    const client = new VolumeClient(this, peer, () => this.#clients.delete(peer.transmission.id));
    this.#clients.set(peer.transmission.id, client);
    return client;
  }
}

class VolumeClient implements NbdDevice {
  readonly peer: NbdPeer;
  readonly #export: VolumeExport;
  readonly #onClose: () => void;
  #lateBytes = 0;

  constructor(owner: VolumeExport, peer: NbdPeer, onClose: () => void) {
    this.#export = owner;
    this.peer = peer;
    this.#onClose = onClose;
  }

  feed(chunk: Uint8Array): NbdOutcome {
    const { engine } = this.#export;
    const { transmission } = this.peer;
    const outcome = engine.log.feed(transmission, chunk);
    const late = engine.log.hasReads ? engine.pair.readNow(engine.log.stretches, transmission.out) : 0;
    if (late > 0) this.#sendAroundLate();
    else this.peer.send();
    if (transmission.hasRequests) {
      for (const request of transmission.takeRequests()) this.#status(request);
      this.peer.send();
    }
    engine.kick();
    if (engine.log.held > 0) this.#export.holdIfFull();
    return outcome;
  }

  /** Some reads must wait for the disk: what is around them goes out now. */
  #sendAroundLate(): void {
    const { log } = this.#export.engine;
    const { out } = this.peer.transmission;
    const answers = out.view();
    const list = log.stretches.view();
    let [sent, at] = [0, 0];
    for (const read of log.plannedReads()) {
      const stretches = list.subarray(at, at + read.stretches * STRETCH_BYTES);
      at += stretches.byteLength;
      const isLate = stretchesOf(stretches).some(({ source }) => (source & StretchSource.late) !== 0);
      if (!isLate) continue;
      this.peer.sendBytes(answers.subarray(sent, read.head));
      sent = read.data + read.length;
      void this.#readLate(read, stretches.slice());
    }
    this.peer.sendBytes(answers.subarray(sent));
    out.clear();
  }

  async #readLate(read: PlannedRead, stretches: Uint8Array): Promise<void> {
    const { engine } = this.#export;
    const { transmission } = this.peer;
    this.#changeLate(read.length);
    const target = new Uint8Array(read.length);
    try {
      await engine.pinned(() => engine.readStretches(stretches, target, read.data));
      transmission.replyData(read, target);
    } catch {
      transmission.reply({ type: 0, cookie: read.cookie }, NbdError.io);
    }
    if (transmission.isClosed) return;
    this.#changeLate(-read.length);
    this.peer.send();
  }

  #changeLate(bytes: number): void {
    this.#lateBytes += bytes;
    this.peer.hold("late reads", this.#lateBytes > LATE_BYTES_HIGH);
  }

  /** What the log has is allocated, or zero where it was trimmed; for the rest the data file knows its holes. */
  #status({ cookie, offset, length, flags }: NbdRequest): void {
    const { engine } = this.#export;
    const extents = new Extents();
    const bytes = Math.min(length, STATUS_BYTES_MAX);
    for (const { source, from, length: part } of stretchesOf(engine.log.plan(offset, bytes))) {
      if (source === StretchSource.data) extents.addOf(engine.pair, from, part, engine.bytes);
      else extents.add(part, source === StretchSource.zero);
      if (extents.isFull) break;
    }
    this.peer.transmission.replyStatus(cookie, ALLOCATION_ID, extents.pairs(flags));
  }

  close(): void {
    this.#onClose();
  }
}
