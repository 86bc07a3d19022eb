/** Work on files in the caller's own thread. */
import type { Disk } from "../../../core/seams/disk.ts";
import { BucketAppends } from "../classic/source.ts";
import { Scan, type ScanPlace } from "../scan/scan.ts";
import { type Jobs, jobs } from "./jobs.ts";
import type { FileWork } from "./work.ts";

export class InlineWork implements FileWork {
  readonly #place: ScanPlace;

  constructor(disk: Disk) {
    this.#place = { disk, appends: new BucketAppends() };
  }

  scan(request: Parameters<FileWork["scan"]>[0]) {
    return new Scan(this.#place, request);
  }

  run: FileWork["run"] = (name, task) => {
    const job = jobs[name] as (place: ScanPlace, given: typeof task) => ReturnType<Jobs[typeof name]>;
    return job(this.#place, task) as never;
  };

  close(): void {}
}
