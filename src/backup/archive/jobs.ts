/**
 * What an archive does with its own images and diffs: restore, apply, merge.
 *
 * Invariant: a job never changes what was restorable before and must stay so. Restore writes an image of its own; apply
 * marks the base before the first write and may be repeated from the start; merge adds the merged diff before it removes
 * the old ones.
 */
import { oneStretch, openPair } from "../../core/seams/file-pair.ts";
import {
  chainFrom,
  clean,
  merged,
  mergeRun,
  type MetaDiff,
  minimumChain,
  newest,
  relation,
  restorePoints,
} from "../algebra/snapshot.ts";
import { snappy } from "../formats/compression.ts";
import { type Diff, mergedRuns, writeMerged } from "../formats/diff-merge.ts";
import { type DiscardRule, ImageWriter } from "../formats/image.ts";
import { BLOCK_BYTES } from "../formats/units.ts";
import { Refusal } from "../server/server.ts";
import type { BaseSumsChange } from "./base-sums.ts";
import { ColdSums } from "./cold-sums.ts";
import type { OpenImage } from "./images/back-end.ts";
import { chainToPoint } from "./reading.ts";
import { Sleeper } from "./sleeper.ts";
import type { ArchiveVolume } from "./volume.ts";

export interface JobOptions {
  discard: DiscardRule;
  /** Diffs open together. */
  openMax: number;
  /** Of cold snapshots only the newest stays. */
  keepsOneCold: boolean;
  /** The share of its time that an apply sleeps. */
  applySleepPercent: number;
}

const READY_BYTES = 4 << 20;
/** A copy of a base is asked for in parts of this length, so that it can be stopped. */
const COPY_BYTES = 32 << 20;

function rounds<Each>(diffs: readonly Each[], openMax: number): Each[][] {
  const parts: Each[][] = [];
  for (let at = 0; at < diffs.length; at += openMax) parts.push(diffs.slice(at, at + openMax));
  return parts;
}

async function applyTo(
  volume: ArchiveVolume,
  image: OpenImage,
  diffs: readonly Diff[],
  rule: DiscardRule,
  { sleeper, sums }: { sleeper?: Sleeper; sums?: BaseSumsChange | ColdSums | undefined } = {},
): Promise<void> {
  const target = { file: image.file, blocks: Math.floor(image.bytes / BLOCK_BYTES) };
  const writer = new ImageWriter(volume.world.disk, target, rule);
  try {
    for await (const runs of mergedRuns(diffs, { readyBytes: READY_BYTES })) {
      volume.throwIfForced();
      await sums?.overlay(runs, rule);
      await writer.write(runs);
      await sleeper?.rest();
    }
    await writer.finish();
    sums?.endPass();
  } finally {
    await writer.close();
  }
}

/** Copies what is not a hole of the base into an image that reads as zeros. */
async function copyBase(volume: ArchiveVolume, image: OpenImage): Promise<void> {
  const base = await volume.world.images.openBase(volume.name, "read");
  const { disk } = volume.world;
  const [own, both] = [openPair(disk, base.file, base.file), openPair(disk, base.file, image.file)];
  try {
    for (let offset = 0; offset < base.bytes;) {
      volume.throwIfForced();
      const { isHole, end } = own.extent(offset, base.bytes) ?? { isHole: false, end: base.bytes };
      const stop = Math.min(isHole ? end : offset + COPY_BYTES, end);
      if (!isHole) await both.copy(oneStretch(offset, stop - offset));
      offset = stop;
    }
  } finally {
    both.close();
    own.close();
    await base.file.close();
  }
}

/**
 * Makes the image of `gid`, from the base or from a cold snapshot that is nearer. All diffs are open before the first is
 * used: a merge beside us removes their names, and perhaps the point.
 */
export async function restore(volume: ArchiveVolume, gid: bigint, options: JobOptions): Promise<void> {
  const { images } = volume.world;
  const cold = volume.cold.newestBetween(volume.base.from.begin, gid);
  let chain: MetaDiff[] = [];
  const choose = () => {
    const from = cold === undefined ? volume.base.from : clean(cold);
    return (chain = chainToPoint(volume, gid, from));
  };
  await volume.diffs.withOpen(choose, async (open) => {
    const image = await images.beginRestore(volume.name, gid, cold);
    try {
      if (!image.isCopy) await copyBase(volume, image);
      const leavesCold = images.keepsCold && cold !== gid && gid > volume.base.from.begin;
      const origin = { base: volume.base, cold };
      const sums = leavesCold
        ? await ColdSums.begin({ disk: volume.world.disk, directory: volume.directory }, origin, image)
        : undefined;
      for (const part of rounds(open, options.openMax))
        await applyTo(volume, image, part, options.discard, { sums });
      await image.file.sync();
      const timestamp = chain.at(-1)?.timestamp ?? volume.base.timestamp;
      if (sums !== undefined) await volume.cold.keep(gid, timestamp, options.keepsOneCold, sums);
    } catch (error) {
      await image.file.close();
      await images.collect(volume.name);
      throw error;
    }
    await image.file.close();
  });
  await images.finishRestore(volume.name, gid);
}

/** Refuses a gid that cannot be restored, or that is restored already. */
export async function demandRestorable(volume: ArchiveVolume, gid: bigint): Promise<void> {
  if ((await volume.world.images.restored(volume.name)).includes(gid))
    throw new Refusal(`c2aRestoreServer:already restored:${volume.name}:${gid}`);
  if (!restorePoints(volume.base, volume.diffs.all).some((point) => point.gid === gid))
    throw new Refusal(`verifyRestorable:bad gid to restore:${volume.name}:${gid}`);
}

/** The diffs that an apply up to `gid` writes: at least those of an apply that was interrupted. */
export function diffsToApply(volume: ArchiveVolume, gid: bigint): MetaDiff[] {
  const least = minimumChain(volume.base, volume.diffs.all);
  const chain = chainFrom(volume.base.from, volume.diffs.all, gid);
  return chain.length > least.length ? chain : least;
}

/** Writes diffs into the base and removes them; earlier points are gone then. */
export async function apply(
  volume: ArchiveVolume,
  gid: bigint,
  { discard, openMax, applySleepPercent }: JobOptions,
): Promise<void> {
  const cold = volume.base.isApplying ? undefined : volume.cold.newestBetween(volume.base.from.begin, gid);
  if (cold !== undefined) {
    // What it has need not be written.
    await volume.cold.becomeBase(cold, volume.base, (base) => volume.setBase(base));
    await volume.cold.removeUpTo(cold);
    await volume.removeGarbage();
  }
  const diffs = diffsToApply(volume, gid);
  if (diffs.length === 0) return;
  const result = newest({ ...volume.base, isApplying: false }, diffs);
  await volume.setBase({
    isApplying: true,
    timestamp: result.timestamp,
    from: volume.base.from,
    to: result.to,
  });
  const base = await volume.world.images.openBase(volume.name, "readWrite");
  try {
    const sleeper = new Sleeper(volume.world.clock, applySleepPercent);
    const sums = await volume.beginBaseChange(base);
    for (const part of rounds(diffs, openMax))
      await volume.diffs.withOpen(part, (open) => applyTo(volume, base, open, discard, { sleeper, sums }));
    await base.file.sync();
    await sums.finish(result.to);
  } finally {
    await base.file.close();
  }
  await volume.setBase(result);
  await volume.diffs.remove(volume.diffs.all.filter((diff) => relation(result.to, diff) === "tooOld"));
  await volume.cold.removeUpTo(result.to.begin);
}

/** The diffs that a merge from `gid` joins: up to `upTo`, or while together they are at most `bytesMax`. */
export function diffsToMerge(
  volume: ArchiveVolume,
  gid: bigint,
  limit: { upTo?: bigint; bytesMax?: number },
): MetaDiff[] {
  const chain = chainFrom(volume.base.from, volume.diffs.all);
  const run = mergeRun(gid, chain, limit.upTo);
  if (limit.bytesMax === undefined) return run;
  let bytes = 0;
  const count = run.findIndex(({ dataBytes }) => (bytes += dataBytes) > (limit.bytesMax as number));
  return count < 0 ? run : run.slice(0, count);
}

export async function merge(volume: ArchiveVolume, diffs: readonly MetaDiff[]): Promise<void> {
  const whole = diffs.reduce((sum, diff) => merged(sum, diff));
  await volume.diffs.withOpen(diffs, async (open) => {
    const { uuid } = open.at(-1) as (typeof open)[number];
    await volume.diffs.add(whole, async (sink) => {
      await writeMerged(open, uuid, volume.guarded(sink), {
        compression: snappy,
        blocksMax: 0,
        readyBytes: READY_BYTES,
      });
    });
  });
  await volume.diffs.remove(diffs);
}
