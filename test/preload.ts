/**
 * Loaded before every test file: brings the C library up to date, so that `bun test` alone works in a checkout, and
 * gives the property tests their seed.
 */
import fc from "fast-check";
import { ensureNative } from "../build.ts";
import { testSeed } from "./seed.ts";

fc.configureGlobal({ seed: testSeed });

await ensureNative();
