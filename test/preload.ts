/** Loaded before every test file: brings the C library up to date, so that `bun test` alone works in a checkout. */
import { ensureNative } from "../build.ts";

await ensureNative();
