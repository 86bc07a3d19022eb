/**
 * What the next manifest of a volume says, from what the archive has and what is in the bucket. Pure.
 *
 * Invariant: a manifest never leads less far than the one before it while the volume has the same history. A diff that was
 * merged or applied away at the archive stays listed until what takes its place is in the bucket, too. What is listed no
 * more is called unused, with the time, and stays in the bucket for readers who follow the manifest before.
 */
import { diffName } from "../algebra/diff-name.ts";
import { isSameSnapshot, type MetaDiff, type MetaState, newest } from "../algebra/snapshot.ts";
import type { DroppedFile, Manifest, StoredDiff } from "./manifest.ts";
import type { ObjectRef } from "./part-table.ts";

/** What the archive has. */
export interface LocalVolume {
  base: MetaState;
  diffs: readonly MetaDiff[];
  uuid: Uint8Array;
  archiveUuid: Uint8Array;
}

/** A base image in the bucket. */
export interface StoredBase {
  base: MetaState;
  table: ObjectRef;
}

/** The same content leads from and to the same and ends at the same time; flags may change. */
const contentOf = (diff: MetaDiff) => diffName({ ...diff, isMergeable: false, isComparison: false });

export function sameHistory(manifest: Manifest, local: Pick<LocalVolume, "archiveUuid">): boolean {
  return Buffer.from(manifest.archiveUuid).equals(local.archiveUuid);
}

/** Diffs of the archive that are not in the bucket, oldest first. */
export function missingDiffs(stored: readonly StoredDiff[], local: readonly MetaDiff[]): MetaDiff[] {
  const there = new Set(stored.map(({ diff }) => contentOf(diff)));
  return local.filter((diff) => !there.has(contentOf(diff)));
}

/** Whether the bucket's base image has to follow the archive's. */
export function isBaseMissing(base: MetaState | undefined, local: MetaState): boolean {
  if (local.isApplying) return false;
  return base === undefined || !isSameSnapshot(base.from, local.from);
}

/** Diffs as the archive has them now, flags included, of those that are in the bucket. */
function current(stored: readonly StoredDiff[], local: readonly MetaDiff[]): StoredDiff[] {
  const byContent = new Map(stored.map((each) => [contentOf(each.diff), each]));
  return local.flatMap((diff) => {
    const found = byContent.get(contentOf(diff));
    return found === undefined ? [] : [{ diff, table: found.table }];
  });
}

const reach = (base: MetaState, stored: readonly StoredDiff[]) =>
  newest(
    base,
    stored.map(({ diff }) => diff),
  ).to.begin;

/** The diffs that are listed: the archive's own as soon as they lead as far as everything in the bucket together. */
export function listedDiffs(
  base: MetaState,
  stored: readonly StoredDiff[],
  local: readonly MetaDiff[],
): StoredDiff[] {
  const own = current(stored, local);
  if (reach(base, own) >= reach(base, stored)) return own;
  const names = new Set(own.map(({ diff }) => contentOf(diff)));
  return [...stored.filter(({ diff }) => !names.has(contentOf(diff))), ...own];
}

/** What of the bucket's files is not used by `next`, called unused at `now`; what was unused before stays so. */
export function droppedFiles(
  before: Manifest | undefined,
  next: { baseTable: ObjectRef; diffs: readonly StoredDiff[] },
  now: number,
): DroppedFile[] {
  if (before === undefined) return [];
  const used = new Set([next.baseTable.sha256, ...next.diffs.map(({ table }) => table.sha256)]);
  const files = new Map(before.dropped.map((file) => [file.table.sha256, file]));
  for (const table of [before.baseTable, ...before.diffs.map((each) => each.table)])
    if (!files.has(table.sha256)) files.set(table.sha256, { time: now, table });
  return [...files.values()].filter(({ table }) => !used.has(table.sha256));
}
