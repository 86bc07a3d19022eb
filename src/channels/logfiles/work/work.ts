/**
 * The work on files that must not hold up clients: scans with their filters, and writing segments and bucket files.
 *
 * A role does it in a thread of its own (thread-work.ts), tools and simulations in their own thread (inline-work.ts): the
 * same code either way. Invariant: requests are begun in the order in which they were made.
 */
import type { ScanRequest } from "../scan/request.ts";
import type { Pieces } from "../scan/scan.ts";
import type { Jobs } from "./jobs.ts";

export type JobName = keyof Jobs;
export type JobTask<Name extends JobName> = Parameters<Jobs[Name]>[1];
export type JobResult<Name extends JobName> = Awaited<ReturnType<Jobs[Name]>>;

export interface FileWork {
  /** Memory and files of the request must stay until the scan is closed. */
  scan(request: ScanRequest): Pieces;
  run<Name extends JobName>(name: Name, task: JobTask<Name>): Promise<JobResult<Name>>;
  /** Nothing may be under way. */
  close(): void;
}
