/**
 * Loaded before every test file: brings the C library up to date, so that `bun test` alone works in a checkout, and
 * gives the property tests their seed.
 *
 * Invariant: a commit passes or fails the same way wherever it is tested. NODE_X_SEED=random looks elsewhere, as
 * `bun run soak properties` does; NODE_X_SEED=<number> repeats what it found.
 */
import fc from "fast-check";
import { ensureNative } from "../build.ts";

const wanted = process.env.NODE_X_SEED ?? "1";
if (wanted !== "random") fc.configureGlobal({ seed: Number(wanted) });

await ensureNative();
