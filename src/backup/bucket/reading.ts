/**
 * A bucket as somebody sees it who only reads: which volumes there are, and their manifests.
 *
 * Invariant: nothing is written to the bucket.
 */
import { NxError } from "../../core/errors.ts";
import type { ObjectStore } from "../../core/seams/object-store.ts";
import { type RestorePoint, restorePoints } from "../algebra/snapshot.ts";
import { listingTime } from "../formats/units.ts";
import { decodeManifest, type Manifest, MANIFEST_BYTES_MAX, manifestKey } from "./manifest.ts";

/** The names of all volumes below the prefix. */
export async function volumesIn(store: ObjectStore): Promise<string[]> {
  const suffix = manifestKey("");
  const names: string[] = [];
  for await (const { key } of store.list(""))
    if (key.endsWith(suffix)) names.push(key.slice(0, -suffix.length));
  return names.filter((name) => /^[0-9A-Za-z-]{1,64}$/.test(name));
}

/** Throws NX_INPUT_INVALID when there is none. */
export async function manifestOf(store: ObjectStore, volume: string): Promise<Manifest> {
  const key = manifestKey(volume);
  const bytes = await store.get(key, MANIFEST_BYTES_MAX);
  if (bytes !== undefined) return await decodeManifest(`${store.name}/${key}`, bytes);
  const others = await volumesIn(store);
  throw new NxError("NX_INPUT_INVALID", `${store.name} has no volume "${volume}"`, {
    hint: others.length === 0 ? "there is no volume below this prefix" : `there are ${others.join(", ")}`,
  });
}

export const pointsOf = ({ base, diffs }: Manifest): RestorePoint[] =>
  restorePoints(
    base,
    diffs.map(({ diff }) => diff),
  );

/** The newest point that is not later than `seconds` since 1970. Throws NX_NOT_READY when all are. */
export function pointBefore(volume: string, points: readonly RestorePoint[], seconds: number): RestorePoint {
  const found = points.filter(({ timestamp }) => timestamp <= seconds).at(-1);
  if (found !== undefined) return found;
  const first = points[0];
  throw new NxError("NX_NOT_READY", `${volume} has no point at or before ${listingTime(seconds)}`, {
    hint: first === undefined ? "it has none yet" : `its first one is of ${listingTime(first.timestamp)}`,
  });
}
