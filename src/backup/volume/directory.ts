/**
 * Volumes as directories: `NAME/data` is the image, byte for byte, and `NAME/log` the log device of it. Where the image is a
 * block device of this host, `NAME/device` has its path, and there is no `NAME/data`.
 *
 * Invariant: a volume is there when its directory has its name; it is made under another name first, so a crash leaves a
 * whole volume or none. Names are those of the WalB protocol.
 */
import { dirname, join } from "node:path";
import { NxError } from "../../core/errors.ts";
import type { Disk } from "../../core/seams/disk.ts";
import { makeDurableDirectory, writeFileAtomically } from "../../core/seams/durable-files.ts";
import type { Random } from "../../core/seams/random.ts";
import { readSmallFile } from "../files/volume-files.ts";
import { encodeSuperBlock, ringStart, SUPER_OFFSET } from "../formats/log-device.ts";
import { BLOCK_BYTES } from "../formats/units.ts";

const NAME = /^[0-9A-Za-z-]{1,64}$/;
const MAKING = ".making-";
const REMOVING = ".removing-";
/** A ring holds some records of the largest size that it allows. */
export const LOG_BYTES_MIN = 256 << 10;
const ALIGNMENT = 4096;

export interface VolumeShape {
  bytes: number;
  /** The block device that is the image, with what is on it. */
  device?: string;
  logBytes: number;
  /** 512 or 4096. */
  physicalBytes: number;
}

export const volumeFiles = (directory: string, name: string) => ({
  directory: join(directory, name),
  data: join(directory, name, "data"),
  log: join(directory, name, "log"),
  device: join(directory, name, "device"),
});

/** The path of the block device that is a volume's image; undefined: the image is a file. */
export async function deviceOf(disk: Disk, directory: string, name: string): Promise<string | undefined> {
  const path = await readSmallFile(disk, volumeFiles(directory, name).device);
  return path === undefined ? undefined : Buffer.from(path).toString().trim();
}

/** How long a block device is that may become a volume: nobody else must have it. */
export async function measureDevice(disk: Disk, device: string): Promise<number> {
  const file = await disk.open(device, "claim");
  try {
    const bytes = await file.size();
    return bytes - (bytes % ALIGNMENT);
  } finally {
    await file.close();
  }
}

function demandName(name: string): void {
  if (NAME.test(name)) return;
  throw new NxError("NX_USAGE", `"${name}" is no name of a volume`, {
    hint: "1 to 64 letters, digits and hyphens",
  });
}

/** Makes a volume: of zeros, or of what a block device has. Its log is written once from end to end, so that later writes need no space. */
export async function createVolume(
  { disk, random }: { disk: Disk; random: Random },
  directory: string,
  name: string,
  { bytes, device, logBytes, physicalBytes }: VolumeShape,
): Promise<void> {
  demandName(name);
  if (bytes <= 0 || bytes % ALIGNMENT !== 0 || logBytes % ALIGNMENT !== 0)
    throw new NxError("NX_USAGE", "the sizes of a volume and its log are multiples of 4096 bytes");
  if (logBytes < LOG_BYTES_MIN)
    throw new NxError("NX_USAGE", `a log has at least ${LOG_BYTES_MIN >> 10} KiB`);
  const files = volumeFiles(directory, name);
  if (await disk.exists(files.directory))
    throw new NxError("NX_USAGE", `the volume ${name} is there already (${files.directory})`);
  await makeDurableDirectory(disk, directory);
  const making = volumeFiles(directory, `${MAKING}${name}`);
  await removeFiles(disk, making);
  await disk.makeDirectory(making.directory);
  if (device === undefined) await makeData(disk, making.data, bytes);
  else await writeFileAtomically(disk, making.device, `${device}\n`);
  const log = await disk.open(making.log, "exclusive");
  try {
    await log.allocate(logBytes);
    const superBlock = encodeSuperBlock({
      physicalBytes,
      metadataBlocks: 0,
      salt: random.integer(2 ** 32),
      uuid: random.bytes(16),
      name: name.slice(0, 31),
      ringBlocks: BigInt(logBytes / physicalBytes - ringStart(physicalBytes)),
      oldestLsid: 0n,
      writtenLsid: 0n,
      deviceBlocks: BigInt(bytes / BLOCK_BYTES),
    });
    await log.write(superBlock, SUPER_OFFSET);
    await log.sync();
  } finally {
    await log.close();
  }
  await disk.syncDirectory(making.directory);
  await disk.rename(making.directory, files.directory);
  await disk.syncDirectory(directory);
}

async function makeData(disk: Disk, path: string, bytes: number): Promise<void> {
  const data = await disk.open(path, "exclusive");
  try {
    await data.truncate(bytes);
    await data.sync();
  } finally {
    await data.close();
  }
}

async function removeFiles(disk: Disk, files: ReturnType<typeof volumeFiles>): Promise<void> {
  if (!(await disk.exists(files.directory))) return;
  for (const path of [files.data, files.device, files.log])
    if (await disk.exists(path)) await disk.remove(path);
  await disk.removeDirectory(files.directory);
}

/** The names of all volumes; what an interrupted making or removing left is removed. */
export async function listVolumes(disk: Disk, directory: string): Promise<string[]> {
  const names: string[] = [];
  for (const { name, kind } of await disk.list(directory)) {
    if (kind !== "directory") continue;
    if (name.startsWith(MAKING) || name.startsWith(REMOVING))
      await removeFiles(disk, volumeFiles(directory, name));
    else if (NAME.test(name)) names.push(name);
  }
  return names;
}

/** Removes a volume that nobody has open. */
export async function deleteVolume(disk: Disk, directory: string, name: string): Promise<void> {
  demandName(name);
  const removing = volumeFiles(directory, `${REMOVING}${name}`);
  await removeFiles(disk, removing);
  await disk.rename(volumeFiles(directory, name).directory, removing.directory);
  await disk.syncDirectory(dirname(removing.directory));
  await removeFiles(disk, removing);
}
