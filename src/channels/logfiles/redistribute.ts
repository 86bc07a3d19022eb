/**
 * Redistribute: gives a part of a node's files to other nodes, each file to the next one in turn.
 *
 * The request (swarm.md 2.6), integers little-endian: f32 part of the files, 0 < f <= 1 · { array address, u16 port }… · empty
 * array. The original answers when everything is done, and so does this.
 *
 * Invariant: a file is removed only when the other node has acknowledged every record of it, and only if nothing was added
 * to it meanwhile. A crash, or a node that is lost in the middle, leaves records at both: none is lost.
 */
import { NxError } from "../../core/errors.ts";
import type { Log } from "../../core/logging/log.ts";
import type { Net } from "../../core/seams/net.ts";
import type { Random } from "../../core/seams/random.ts";
import { LogfilesCommand } from "../../native/logfiles/engine.ts";
import { LegacyNode, type NodeAddress, requestBytes } from "../wire/legacy/client.ts";
import { everything } from "./scan/request.ts";
import type { Movable } from "./store/layout.ts";
import type { LogStore } from "./store/log-store.ts";

export interface RedistributionOrder {
  /** Of the files: 0 < fraction <= 1. */
  fraction: number;
  nodes: NodeAddress[];
}

/** Reads a request behind its code, whose arrays are whole. Throws NX_INPUT_INVALID for one that makes no sense. */
export function decodeOrder(bytes: Buffer): RedistributionOrder {
  const fraction = bytes.readFloatLE(0);
  const nodes: NodeAddress[] = [];
  for (let at = 4; ; at += 2) {
    const length = Number(bytes.readBigUInt64LE(at));
    at += 8;
    if (length === 0) break;
    nodes.push({ host: bytes.toString("latin1", at, at + length), port: bytes.readUInt16LE(at + length) });
    at += length;
  }
  if (!(fraction > 0 && fraction <= 1) || nodes.length === 0)
    throw new NxError(
      "NX_INPUT_INVALID",
      `redistributing ${fraction} of the files to ${nodes.length} nodes`,
      {
        hint: "wanted a part above 0 and up to 1, and at least one node",
      },
    );
  return { fraction, nodes };
}

/** Of a record in a batch: a key of 16 digits, and the lengths of both. */
const RECORD_HEADER_BYTES = 32;

export interface RedistributorOptions {
  store: LogStore;
  net: Net;
  /** How other nodes are called. */
  toNodes: Pick<NodeAddress, "tls">;
  random: Random;
  log: Log;
  /** Content of one batch. */
  batchBytes: number;
}

export class Redistributor {
  readonly #options: RedistributorOptions;
  #isRunning = false;
  /** `bytes`: of the values. */
  readonly figures = { files: 0, records: 0, bytes: 0 };

  constructor(options: RedistributorOptions) {
    this.#options = options;
  }

  /**
   * Throws NX_CLIENT_BUSY while another one runs, and what a node answered that did not take a batch. `signal` ends it: the
   * file that is being given away stays.
   */
  async run({ fraction, nodes }: RedistributionOrder, signal: AbortSignal): Promise<void> {
    const { store, net, toNodes, random, log } = this.#options;
    if (this.#isRunning) throw new NxError("NX_CLIENT_BUSY", "a redistribution is under way");
    this.#isRunning = true;
    const open: LegacyNode[] = [];
    const closeAll = () => {
      for (const node of open) node.close();
    };
    signal.addEventListener("abort", closeAll);
    try {
      for (const address of nodes) open.push(await LegacyNode.connect(net, { ...address, ...toNodes }));
      let turn = 0;
      for await (const movable of store.movables()) {
        signal.throwIfAborted();
        if (random.float() < fraction) await this.#give(movable, open[turn++ % open.length] as LegacyNode);
      }
      log.info("redistributed", { ...this.figures });
    } finally {
      signal.removeEventListener("abort", closeAll);
      closeAll();
      this.#isRunning = false;
    }
  }

  async #give(movable: Movable, node: LegacyNode): Promise<void> {
    const { store, log, batchBytes } = this.#options;
    const { channel, low, high } = movable;
    const held = movable.hold();
    const request = { sources: held.specs, low, high, filter: everything.filter, batchBytes };
    const pieces = store.scanSources({ ...request, output: "legacy" });
    let contentBytes = 0;
    try {
      for (let piece = await pieces.next(); piece !== undefined; piece = await pieces.next())
        for (const batch of arraysOf(piece)) {
          contentBytes += Number(new DataView(batch.buffer, batch.byteOffset).getBigUint64(0, true));
          await node.sendRequest(requestBytes(LogfilesCommand.PutBatch, channel, batch));
        }
    } finally {
      await pieces.close();
      held.release();
    }
    const { records, skipped } = pieces.figures;
    const to = `${node.address.host}:${node.address.port}`;
    if (skipped > 0) log.warn(`a file stays: ${skipped} records of it fit no batch`, { channel, to });
    else if (!(await store.removeMoved(movable, records)))
      log.warn("a file stays: it was written to while its records were sent", { channel, to });
    else {
      this.figures.files += 1;
      this.figures.records += records;
      this.figures.bytes += contentBytes - records * RECORD_HEADER_BYTES;
    }
  }
}

/** The arrays of a piece of an answer, without the empty one at its end. */
function* arraysOf(piece: Uint8Array): Generator<Uint8Array> {
  const view = new DataView(piece.buffer, piece.byteOffset, piece.byteLength);
  for (let at = 0; at < piece.byteLength;) {
    const length = Number(view.getBigUint64(at, true));
    if (length > 0) yield piece.subarray(at + 8, at + 8 + length);
    at += 8 + length;
  }
}
