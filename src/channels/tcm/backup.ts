/**
 * Compressed, dated copies of all dumps of a directory: `<ch>.tcm-20261125.zst` and, where there is one,
 * `<ch>.nxs-20261125.zst`; `zstd -d` restores them.
 *
 * Invariant: a backup has its name only when it was written, synced, read back and found to be the file it was made of,
 * and when that file is complete. Both files of a channel are of the same dump. Older backups of a channel go only after
 * a newer one is there. A crash leaves at most `*.making` files, which the next backup replaces.
 */
import { basename, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createZstdCompress, createZstdDecompress } from "node:zlib";
import { NxError } from "../../core/errors.ts";
import type { World } from "../../core/role.ts";
import type { Disk } from "../../core/seams/disk.ts";
import { makeDurableDirectory } from "../../core/seams/durable-files.ts";
import { crc32c } from "../../native/crc32c.ts";
import { applySideBlock } from "../../native/tcm.ts";
import { dumpedChannels } from "./load.ts";
import { sideName, tcmName } from "./names.ts";
import { readTcm } from "./read.ts";
import { SideReader, type TcmIdentity } from "./side-file.ts";
import { everything } from "./tools.ts";

const CHUNK_BYTES = 1 << 20;
/** A node that dumps meanwhile replaces files under our hands. */
const ATTEMPTS_MAX = 5;

export interface BackupOptions {
  world: Pick<World, "disk" | "clock">;
  from: string;
  to: string;
  /** Backups of each channel that stay, the new one included. */
  keep: number;
}

export interface BackedUp {
  channel: string;
  records: number;
  bytes: number;
  compressedBytes: number;
  removed: string[];
}

/** Throws NX_DATA_CORRUPT for the first dump that is damaged; those before it are backed up. */
export async function backUp(options: BackupOptions, onDone: (done: BackedUp) => void): Promise<void> {
  const { disk } = options.world;
  const channels = await dumpedChannels(disk, options.from);
  await makeDurableDirectory(disk, options.to);
  for (const channel of channels) onDone(await backUpChannel(options, channel));
}

async function backUpChannel(options: BackupOptions, channel: string): Promise<BackedUp> {
  for (let attempt = 1; ; attempt++) {
    const done = await tryChannel(options, channel);
    if (done !== undefined) return { channel, ...done, removed: await prune(options, channel) };
    if (attempt < ATTEMPTS_MAX) continue;
    throw new NxError(
      "NX_DATA_CORRUPT",
      `${join(options.from, sideName(channel))} does not belong to the .tcm beside it`,
      {
        hint: "one of the two was replaced or damaged; `node-x tcm check` tells more. Its older backups stay",
      },
    );
  }
}

/** Undefined when the two files are not of one dump. */
async function tryChannel({ world, from, to }: BackupOptions, channel: string) {
  const { disk } = world;
  const date = new Date(world.clock.nowMs()).toISOString().slice(0, 10).replaceAll("-", "");
  const source = join(from, tcmName(channel));
  const side = join(from, sideName(channel));
  const { identity, counts } = await readTcm({ ...everything, disk, path: source });
  const hasSide = await disk.exists(side);
  if (hasSide && !(await isSideOf(disk, side, identity))) return undefined;
  const copies = [
    await copyOf(disk, source, to, date),
    ...(hasSide ? [await copyOf(disk, side, to, date)] : []),
  ];
  const [tcm] = copies;
  const isSame = tcm?.source.crc32c === identity.crc32c && tcm.source.bytes === identity.bytes;
  if (
    !isSame ||
    hasSide !== (await disk.exists(side)) ||
    (hasSide && !(await isSideOf(disk, side, identity)))
  )
    return undefined;
  for (const copy of copies) await disk.rename(copy.making, copy.path);
  await disk.syncDirectory(to);
  const sum = (of: (copy: (typeof copies)[number]) => number) =>
    copies.reduce((total, copy) => total + of(copy), 0);
  return {
    records: counts.records,
    bytes: sum((copy) => copy.source.bytes),
    compressedBytes: sum((copy) => copy.compressedBytes),
  };
}

/** Reads the whole `.nxs`; throws when it is damaged. */
async function isSideOf(disk: Disk, path: string, tcm: TcmIdentity): Promise<boolean> {
  const reader = await SideReader.open(disk, path);
  try {
    await reader.readBlocks((block) => applySideBlock(undefined, block, 0, false));
    return reader.belongsTo(tcm);
  } finally {
    await reader.close();
  }
}

/** Compresses one file and reads the copy back. */
async function copyOf(disk: Disk, source: string, to: string, date: string) {
  const path = join(to, `${basename(source)}-${date}.zst`);
  const making = `${path}.making`;
  if (await disk.exists(making)) await disk.remove(making);
  const identity = new Checksum();
  const file = await disk.open(making, "exclusive");
  let compressedBytes = 0;
  try {
    await pipeline(
      Readable.from(identity.over(chunksOf(disk, source))),
      createZstdCompress(),
      async (pieces: AsyncIterable<Uint8Array>) => {
        for await (const piece of pieces) {
          await file.write(piece, compressedBytes);
          compressedBytes += piece.byteLength;
        }
      },
    );
    await file.sync();
  } finally {
    await file.close();
  }
  const back = new Checksum();
  await pipeline(
    Readable.from(chunksOf(disk, making)),
    createZstdDecompress(),
    async (pieces: AsyncIterable<Uint8Array>) => {
      for await (const piece of pieces) back.add(piece);
    },
  );
  if (back.bytes !== identity.bytes || back.crc32c !== identity.crc32c) {
    throw new NxError("NX_DISK_FAILED", `${making} does not read back as what was written`, {
      hint: "look at `dmesg` and the health of that disk; older backups stay",
    });
  }
  return { path, making, compressedBytes, source: { bytes: identity.bytes, crc32c: identity.crc32c } };
}

class Checksum {
  bytes = 0;
  crc32c = 0;

  add(chunk: Uint8Array): void {
    this.crc32c = crc32c(chunk, this.crc32c);
    this.bytes += chunk.byteLength;
  }

  async *over(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      this.add(chunk);
      yield chunk;
    }
  }
}

async function* chunksOf(disk: Disk, path: string): AsyncGenerator<Uint8Array> {
  const file = await disk.open(path, "read");
  try {
    for (let offset = 0; ;) {
      const chunk = new Uint8Array(CHUNK_BYTES);
      const count = await file.read(chunk, offset);
      if (count === 0) return;
      offset += count;
      yield chunk.subarray(0, count);
    }
  } finally {
    await file.close();
  }
}

/** Removes all but the newest backups of a channel; returns their names. */
async function prune({ world, to, keep }: BackupOptions, channel: string): Promise<string[]> {
  const names = (await world.disk.list(to)).map(({ name }) => name);
  const removed: string[] = [];
  for (const name of [tcmName(channel), sideName(channel)]) {
    const dated = names.filter(
      (each) => each.startsWith(`${name}-`) && /^-\d{8}\.zst$/.test(each.slice(name.length)),
    );
    for (const old of dated.sort().slice(0, Math.max(0, dated.length - keep))) {
      await world.disk.remove(join(to, old));
      removed.push(old);
    }
  }
  if (removed.length > 0) await world.disk.syncDirectory(to);
  return removed;
}

/** The unit and the timer that make a backup each night. */
export function backupUnits(executable: string, from: string, to: string, keep: number): string {
  const quoted = (word: string) =>
    /^[\w/.:@+-]+$/.test(word) ? word : `"${word.replace(/["\\]/g, "\\$&").replaceAll("%", "%%")}"`;
  return `# /etc/systemd/system/node-x-tcm-backup.service
[Unit]
Description=Back up the dumps in ${from.replaceAll("%", "%%")}

[Service]
Type=oneshot
ExecStart=${[executable, "tcm", "backup", from, "--to", to, "--keep", String(keep)].map(quoted).join(" ")}
Nice=10
IOSchedulingClass=idle
UMask=0077
NoNewPrivileges=yes
PrivateTmp=yes
ProtectSystem=strict
ProtectHome=read-only
ReadWritePaths=${quoted(to)}
UnsetEnvironment=BUN_OPTIONS BUN_BE_BUN

# /etc/systemd/system/node-x-tcm-backup.timer
[Unit]
Description=Back up the dumps in ${from.replaceAll("%", "%%")} each night

[Timer]
OnCalendar=daily
RandomizedDelaySec=1h
Persistent=true

[Install]
WantedBy=timers.target
`;
}
