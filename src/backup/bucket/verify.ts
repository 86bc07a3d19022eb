/**
 * Reads every object that a bucket's manifests name, and says what is damaged, missing, or named by nobody.
 *
 * Invariant: nothing is written. Objects named by nobody are no damage: an upload under way has some, and so has a file that
 * is not used any more until its time has come.
 */
import type { ObjectStore } from "../../core/seams/object-store.ts";
import { newest, snapshotText } from "../algebra/snapshot.ts";
import { diffName } from "../algebra/diff-name.ts";
import type { ByteSource } from "../formats/bytes.ts";
import { mergedRuns, openDiff } from "../formats/diff-merge.ts";
import type { Manifest } from "./manifest.ts";
import type { ObjectRef, PartTable } from "./part-table.ts";
import { dataPrefix, PartStore } from "./part-store.ts";
import { manifestOf, pointsOf, volumesIn } from "./reading.ts";

export interface BucketFinding {
  path: string;
  problem: string;
}

export interface VerifiedVolume {
  name: string;
  newest: string;
  points: number;
  diffs: number;
  objects: number;
  bytes: number;
  /** Objects that nothing names. */
  stray: number;
}

/** A file in a bucket by position; its last part stays in memory. */
function partsSource(name: string, parts: PartStore, table: PartTable): ByteSource {
  let held = -1;
  let content: Uint8Array = new Uint8Array(0);
  return {
    name,
    bytes: table.bytes,
    async read(target, offset) {
      let done = 0;
      while (done < target.byteLength && offset + done < table.bytes) {
        const index = Math.floor((offset + done) / table.partBytes);
        if (index !== held) [held, content] = [index, await parts.getPart(table, index)];
        const part = content.subarray(offset + done - index * table.partBytes);
        const count = Math.min(part.byteLength, target.byteLength - done);
        target.set(part.subarray(0, count), done);
        done += count;
      }
      return done;
    },
  };
}

class VolumeScrub {
  readonly #parts: PartStore;
  readonly #manifest: Manifest;
  readonly findings: BucketFinding[] = [];
  readonly #seen = new Map<string, number>();

  constructor(parts: PartStore, manifest: Manifest) {
    this.#parts = parts;
    this.#manifest = manifest;
  }

  async #check(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      const path = `${this.#parts.store.name}/${this.#parts.volume}: ${what}`;
      this.findings.push({ path, problem: (error as Error).message });
    }
  }

  async #table(ref: ObjectRef): Promise<PartTable> {
    const table = await this.#parts.getTable(ref);
    this.#seen.set(ref.sha256, ref.bytes);
    for (const part of table.parts) if (part !== undefined) this.#seen.set(part.sha256, part.bytes);
    return table;
  }

  async run(progress: (text: string) => void): Promise<VerifiedVolume> {
    const { base, baseTable, diffs, dropped } = this.#manifest;
    await this.#check("the base image", async () => {
      const table = await this.#table(baseTable);
      for (let index = 0; index < table.parts.length; index++) {
        progress(`part ${index + 1} of ${table.parts.length} of the base image`);
        await this.#check(`part ${index} of the base image`, async () => {
          await this.#parts.getPart(table, index);
        });
      }
    });
    for (const { diff, table: ref } of diffs) {
      progress(diffName(diff));
      await this.#check(diffName(diff), async () => {
        const source = partsSource(diffName(diff), this.#parts, await this.#table(ref));
        for await (const _runs of mergedRuns([await openDiff(source)])) continue;
      });
    }
    const counted = [...this.#seen.values()];
    for (const { table } of dropped) await this.#table(table).catch(() => undefined);
    let stray = 0;
    for await (const { key } of this.#parts.store.list(dataPrefix(this.#parts.volume)))
      if (!this.#seen.has(key.slice(dataPrefix(this.#parts.volume).length))) stray += 1;
    const all = diffs.map(({ diff }) => diff);
    return {
      name: this.#parts.volume,
      newest: snapshotText(newest(base, all).to),
      points: pointsOf(this.#manifest).length,
      diffs: diffs.length,
      objects: counted.length,
      bytes: counted.reduce((sum, bytes) => sum + bytes, 0),
      stray,
    };
  }
}

export async function verifyBucket(
  store: ObjectStore,
  progress: (text: string) => void,
): Promise<{ volumes: VerifiedVolume[]; findings: BucketFinding[] }> {
  const volumes: VerifiedVolume[] = [];
  const findings: BucketFinding[] = [];
  for (const name of await volumesIn(store)) {
    const parts = new PartStore(store, name);
    try {
      const scrub = new VolumeScrub(parts, await manifestOf(store, name));
      volumes.push(await scrub.run((text) => progress(`${name}: ${text}`)));
      findings.push(...scrub.findings);
    } catch (error) {
      findings.push({ path: `${store.name}/${name}`, problem: (error as Error).message });
    } finally {
      parts.close();
    }
  }
  return { volumes, findings };
}
