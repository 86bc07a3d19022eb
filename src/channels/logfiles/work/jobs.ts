/** The jobs of the work on files, by name. Each takes plain data, which may come from another thread. */
import { flushBuckets, forgetFlush } from "../classic/flush.ts";
import { compact } from "../segments/compact.ts";
import { seal } from "../segments/seal.ts";

export const jobs = { seal, compact, flushBuckets, forgetFlush };

export type Jobs = typeof jobs;
