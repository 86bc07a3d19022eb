/** Archives and proxies inside the test's process, over any world, and the storage's side of the protocol. */
import type { z } from "zod";
import type { archiveConfig } from "../../src/backup/archive/config.ts";
import { archiveConfig as archiveSchema } from "../../src/backup/archive/config.ts";
import { proxyConfig as proxySchema } from "../../src/backup/proxy/config.ts";
import { proxy } from "../../src/backup/proxy/role.ts";
import { archive } from "../../src/backup/archive/role.ts";
import { Controller } from "../../src/backup/client/controller.ts";
import { buildPack, type LogRecord } from "../../src/backup/formats/log-packs.ts";
import { writeDiff, writeSnapshot, readSnapshot } from "../../src/backup/wire/values.ts";
import { openProtocol, readAck } from "../../src/backup/server/server.ts";
import type { MetaDiff, Snapshot } from "../../src/backup/algebra/snapshot.ts";
import { Writer } from "../../src/backup/wire/serial.ts";
import { readNext, sendBulk, sendMark, sendPacks } from "../../src/backup/wire/streams.ts";
import { Codec, murmur3 } from "../../src/native/blocks.ts";
import { LogReader } from "../../src/native/log-reader.ts";
import { createMetrics } from "../../src/core/metrics.ts";
import { silentLog } from "../../src/core/logging/log.ts";
import type { RoleContext, RunningRole, World } from "../../src/core/role.ts";
import { mergedPacks, openDiff } from "../../src/backup/formats/diff-merge.ts";
import { memorySource } from "../../src/backup/formats/bytes.ts";
import { writeWdiffHeader } from "../../src/native/blocks.ts";

export const VOLUME = "vol1";

export interface Running extends AsyncDisposable {
  role: RunningRole<unknown>;
  port: number;
  /** Of another listener, by its key. */
  portOf(name: string): number;
  controller: Controller;
}

export interface StartOptions {
  dataDir: string;
  config?: Record<string, unknown>;
  host?: string;
  instance?: string;
}

/** A context as the kernel makes it, but for what it does with what it is told. */
export function contextFor<Config>(world: World, config: Config, { dataDir, instance = "a0" }: StartOptions) {
  const ports = new Map<string, number>();
  const context: RoleContext<Config> = {
    ...world,
    instance,
    config,
    dataDir,
    log: silentLog(),
    metrics: createMetrics(instance, "test"),
    tls: undefined,
    progress: () => undefined,
    announcePort: (name, announced) => void ports.set(name, announced),
    fatal: (error) => {
      throw error;
    },
  };
  return { context, port: (name = "port") => ports.get(name) ?? 0 };
}

/** How long a peer may be silent; an emulated one needs more. */
const TIMEOUT_MS = 10_000;

export function controllerOf(world: World, host: string, port: number, timeoutMs = TIMEOUT_MS): Controller {
  const { net, clock } = world;
  return new Controller({ net, clock, host, port, clientId: "ctl", timeoutMs });
}

type ArchiveConfig = z.output<typeof archiveConfig>;

export async function startArchive(world: World, options: StartOptions): Promise<Running> {
  const host = options.host ?? "127.0.0.1";
  const parsed = archiveSchema.parse({
    role: "archive",
    instance: options.instance ?? "a0",
    dataDir: options.dataDir,
    port: 0,
    host,
    discard: "zero",
    ...options.config,
  }) as ArchiveConfig;
  const { context, port } = contextFor(world, parsed, options);
  const role = await archive.start(context as never);
  return running(world, role, host, port(), port);
}

export async function startProxy(world: World, options: StartOptions): Promise<Running> {
  const host = options.host ?? "127.0.0.1";
  const instance = options.instance ?? "p0";
  const keys = {
    role: "proxy",
    instance,
    dataDir: options.dataDir,
    port: 0,
    host,
    retryMinMs: 20,
    retryMaxMs: 100,
  };
  const parsed = proxySchema.parse({ ...keys, ...options.config });
  const { context, port } = contextFor(world, parsed, { ...options, instance });
  const role = await proxy.start(context as never);
  return running(world, role, host, port(), port);
}

export function running(
  world: World,
  role: RunningRole<never>,
  host: string,
  port: number,
  portOf: (name: string) => number = () => port,
): Running {
  return {
    portOf,
    role: role as unknown as RunningRole<unknown>,
    port,
    controller: controllerOf(world, host, port),
    async [Symbol.asyncDispose]() {
      await role.drain?.();
      await role.stop();
    },
  };
}

// --- the storage's side ------------------------------------------------------------------------------------------

export interface Address {
  host: string;
  port: number;
}

/** A storage that holds its volume and its log in memory. */
export class TestStorage {
  readonly world: World;
  volume = VOLUME;
  image: Buffer;
  uuid: Uint8Array;
  salt: number;
  lsid = 0n;
  gid = 0n;
  readonly #timeoutMs: number;
  #log: Uint8Array[] = [];
  #random;

  constructor(world: World, blocks: number, timeoutMs = TIMEOUT_MS) {
    this.world = world;
    this.#timeoutMs = timeoutMs;
    this.#random = world.random;
    this.image = Buffer.alloc(blocks * 512);
    this.uuid = world.random.bytes(16);
    this.salt = world.random.integer(2 ** 32);
  }

  get blocks(): number {
    return this.image.byteLength / 512;
  }

  get nowSeconds(): number {
    return Math.floor(this.world.clock.nowMs() / 1000);
  }

  #resetLog(gid: bigint): void {
    this.uuid = this.world.random.bytes(16);
    this.salt = this.world.random.integer(2 ** 32);
    this.#log = [];
    this.lsid = 0n;
    this.gid = gid;
  }

  /** Random writes, zeros and discards (which read as zeros), into the volume and its log. */
  write(count: number, blocksMax = 40): void {
    for (let made = 0; made < count; made++) {
      const records: (Pick<LogRecord, "address" | "blocks" | "isDiscard" | "isPadding"> & {
        data?: Uint8Array;
      })[] = [];
      for (let index = 0, most = 1 + this.#random.integer(8); index < most; index++) {
        const blocks = 1 + this.#random.integer(Math.min(blocksMax, this.blocks));
        const address = this.#random.integer(this.blocks - blocks + 1);
        const kind = this.#random.integer(8);
        const data =
          kind < 2
            ? new Uint8Array(blocks * 512)
            : new Uint8Array(blocks * 512).fill(this.#random.integer(255));
        if (kind > 4) data.set(this.#random.bytes(Math.min(data.byteLength, 700)));
        this.image.set(data, address * 512);
        records.push({
          address,
          blocks,
          isDiscard: kind === 0,
          isPadding: false,
          ...(kind !== 0 && { data }),
        });
      }
      const pack = buildPack(this.lsid, 512, this.salt, records);
      this.#log.push(pack);
      this.lsid += BigInt(pack.byteLength / 512);
    }
  }

  async #open(address: Address, protocol: string) {
    const { net, clock } = this.world;
    const options = { clock, timeoutMs: this.#timeoutMs };
    return (await openProtocol(net, address, { clientId: "s0", protocol }, options)).conversation;
  }

  async #request(address: Address, protocol: string, bulkBlocks: number) {
    const conversation = await this.#open(address, protocol);
    const writer = new Writer()
      .text("storage")
      .text(this.volume)
      .u64(this.blocks)
      .u64(this.nowSeconds)
      .u64(bulkBlocks);
    await conversation.send(writer.u8(2).u8(0).u8(1));
    const answer = await conversation.reader.text();
    if (answer !== "accept") throw new Error(answer.split("\n")[0]);
    return conversation;
  }

  /** A full copy; what is written meanwhile is in the log. Returns its snapshot. */
  async fullSync(
    address: Address,
    { bulkBlocks = 128, stopAtBulk = Infinity, during = () => {} } = {},
  ): Promise<Snapshot> {
    const conversation = await this.#request(address, "dirty-full-sync3", bulkBlocks);
    const { reader } = conversation;
    this.#resetLog(0n);
    await conversation.send(this.uuid);
    await readAck(reader);
    const codec = new Codec();
    for (let block = 0, index = 0; block < this.blocks; block += bulkBlocks, index++) {
      if (index === stopAtBulk) {
        conversation.terminate("cut by the test");
        codec.close();
        throw new Error("cut by the test");
      }
      if (index === 1) during();
      await sendBulk(conversation, codec, 2, 0, this.image.subarray(block * 512, (block + bulkBlocks) * 512));
    }
    codec.close();
    await readAck(reader);
    const snapshot = { begin: 0n, end: ++this.gid };
    await conversation.send(writeSnapshot(new Writer(), snapshot));
    await readAck(reader);
    conversation.end();
    // The first diff covers the whole time of the copy.
    this.#firstGid = 0n;
    return snapshot;
  }

  #firstGid = 0n;

  async hashSync(address: Address, { bulkBlocks = 128 } = {}): Promise<Snapshot> {
    const conversation = await this.#open(address, "dirty-hash-sync2");
    const { reader } = conversation;
    const seed = this.nowSeconds;
    const writer = new Writer().text("storage").text(this.volume).u64(this.blocks).u64(seed).u64(bulkBlocks);
    await conversation.send(writer.u8(2).u8(0).u8(1));
    const answer = await reader.text();
    if (answer !== "accept") throw new Error(answer.split("\n")[0]);
    const latest = await readSnapshot(reader);
    this.#resetLog(latest.end + 1n);
    const begin = this.gid;
    await conversation.send(this.uuid);
    await readAck(reader);
    const differing = new LogReader({ codec: 2, level: 0, outOffset: 32 });
    for (let block = 0; await readNext(reader); block += bulkBlocks) {
      const hash = await reader.raw(16);
      await sendMark(conversation, "dummy");
      const bulk = this.image.subarray(block * 512, (block + bulkBlocks) * 512);
      if (!Buffer.from(murmur3(bulk, seed)).equals(hash)) differing.addImage(block, bulk, bulkBlocks);
    }
    await sendPacks(conversation, packsOf(differing));
    differing.free();
    const snapshot = { begin, end: ++this.gid };
    await conversation.send(writeSnapshot(new Writer(), snapshot));
    await readAck(reader);
    conversation.end();
    this.#firstGid = begin;
    return snapshot;
  }

  /** Cuts the log: the next diff, explicit or not. Returns what `ship` sends. */
  snapshot(isMergeable = false): Shipment {
    const from = this.#firstGid;
    const to = from === this.#firstGid && this.gid > from ? this.gid : this.gid + 1n;
    this.gid = to;
    const previous = this.#lastIsMergeable;
    this.#lastIsMergeable = isMergeable;
    const shipment: Shipment = {
      uuid: this.uuid,
      salt: this.salt,
      blocks: this.blocks,
      packs: this.#log.splice(0),
      diff: {
        isMergeable: previous,
        isComparison: false,
        timestamp: this.nowSeconds,
        from: { begin: from, end: from },
        to: { begin: to, end: to },
        dataBytes: 0,
      },
    };
    this.#firstGid = to;
    return shipment;
  }

  #lastIsMergeable = false;

  /** Sends a shipment to a proxy. Throws with its words when it refuses. */
  async ship(address: Address, shipment: Shipment): Promise<void> {
    const conversation = await this.#open(address, "wlog-transfer");
    const { reader } = conversation;
    const codec = new Codec();
    try {
      const total = shipment.packs.reduce((sum, pack) => sum + pack.byteLength / 512, 0);
      await conversation.send(
        new Writer()
          .text(this.volume)
          .raw(shipment.uuid)
          .u32(512)
          .u32(shipment.salt)
          .u64(shipment.blocks)
          .u64(total),
      );
      const answer = await reader.text();
      if (answer !== "accept") throw new Error(answer.split("\n")[0]);
      for (const pack of shipment.packs) {
        for (const chunk of chunksOfPack(pack)) {
          const stored = codec.encode(2, 0, chunk);
          const writer = new Writer()
            .u8(0)
            .u64(stored?.byteLength ?? 0)
            .u64(chunk.byteLength);
          await conversation.send(writer.raw(stored ?? chunk));
        }
      }
      await sendMark(conversation, "end");
      await conversation.send(writeDiff(new Writer(), shipment.diff));
      await readAck(reader);
    } finally {
      codec.close();
      conversation.end();
    }
  }

  /** Sends a shipment straight to an archive, as a proxy would. */
  async shipAsProxy(address: Address, shipment: Shipment): Promise<string> {
    const { net, clock } = this.world;
    const ids = { clientId: "p0", protocol: "wdiff-transfer" };
    const { conversation } = await openProtocol(net, address, ids, {
      clock,
      timeoutMs: this.#timeoutMs,
    });
    const { reader } = conversation;
    const log = new LogReader({ codec: 2, level: 0, outOffset: 32 });
    try {
      const writer = new Writer()
        .text(this.volume)
        .text("proxy")
        .raw(shipment.uuid)
        .u32(0)
        .u64(shipment.blocks);
      await conversation.send(writeDiff(writer, shipment.diff));
      const answer = await reader.text();
      if (answer !== "accept") return answer.split("\n")[0] as string;
      log.beginPacks(shipment.salt, 512);
      for (const pack of shipment.packs) log.feed(pack);
      await sendPacks(conversation, packsOf(log));
      await readAck(reader);
      return "accept";
    } finally {
      log.free();
      conversation.end();
    }
  }
}

export interface Shipment {
  uuid: Uint8Array;
  salt: number;
  blocks: number;
  packs: Uint8Array[];
  diff: MetaDiff;
}

/** Header and data of each record, as a storage sends them. */
function* chunksOfPack(pack: Uint8Array): Generator<Uint8Array> {
  const view = new DataView(pack.buffer, pack.byteOffset);
  yield pack.subarray(0, 512);
  let at = 512;
  for (let index = 0; index < view.getUint16(16, true); index++) {
    const record = 24 + 32 * index;
    if ((view.getUint32(record + 4, true) & 4) !== 0) continue;
    const bytes = view.getUint32(record + 16, true) * 512;
    yield pack.subarray(at, at + bytes);
    at += bytes;
  }
}

/** What a reader has gathered, as sorted packs. */
export async function* packsOf(reader: LogReader): AsyncGenerator<Uint8Array> {
  const header = writeWdiffHeader("indexed", new Uint8Array(16));
  reader.index(0);
  const whole = Buffer.concat([header, reader.out.take()]);
  const diff = await openDiff(memorySource("memory", whole));
  yield* mergedPacks([diff], {
    compression: { id: 2, level: 0, threads: 1 },
    blocksMax: 0,
    isEachPack: true,
  });
}
