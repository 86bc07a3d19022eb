/** The INI file of `dhtnode`, of both generations: what each of its keys means for the dht role. */
import type { IniDialect } from "../../core/config/ini/dialect.ts";
import { boolean, factorAsPercent, hash, integer, oneOf } from "../../core/config/ini/values.ts";
import { rewriteDigitsInFile } from "../../core/config/ini/rewrite.ts";
import type { Disk } from "../../core/seams/disk.ts";
import { logRules, neoDefaults, serverRules, sharedDefaults } from "../ini-keys.ts";

/** The first generation said true or false, the second says what happens. */
const outOfRange = oneOf({ load: "load", fatal: "fatal", ignore: "ignore", true: "load", false: "fatal" });

export const dhtDialect: IniDialect = {
  program: "dhtnode",
  ownSections: ["Options_Memory"],
  ownKeys: [["Server", "minval"]],
  rules: [
    ...serverRules,
    { section: "Server", key: "minval", to: "hashRange.min", convert: hash, required: "the first hash this node owns" },
    { section: "Server", key: "maxval", to: "hashRange.max", convert: hash, required: "the last hash this node owns" },
    { section: "Options_Memory", key: "size_limit", to: "swarm.sizeBytesMax", convert: integer },
    { section: "Options_Memory", key: "dump_period", to: "dump.periodSeconds", convert: integer },
    { section: "Options_Memory", key: "disable_dump_thread", to: "dump.disabled", convert: boolean(true, false) },
    { section: "Options_Memory", key: "allow_out_of_range", to: "dump.allowOutOfRange", convert: outOfRange },
    { section: "Options_Memory", key: "abort_after_all_out_of_range", to: "dump.abortAfterAllOutOfRange", convert: integer },
    { section: "Options_Memory", key: "batch_size", to: ["dump.batchBytesMax", "swarm.batchBytes"], convert: integer },
    { section: "Performance", key: "redist_memory_limit_mulitplier", to: "swarm.redistributePercent", convert: factorAsPercent },
    { section: "Options_Memory", key: "bnum", note: "the table grows with its records" },
    { section: "Options_Memory", key: "lock_memory", note: "give the unit LimitMEMLOCK=, or the host no swap" },
    { section: "Options_Memory", key: "disable_direct_io", note: "dumps are written through the page cache and synced" },
    ...logRules,
  ],
  // The original spoke its own protocol only; what nobody asked for is not opened.
  defaults: (context) => ({ ...sharedDefaults(context), ...neoDefaults(context), durability: "dump", respPort: null, shutdownTimeoutMs: 86_400_000 }),
}; // prettier-ignore

/** Writes the range into the INI file that gave it: nothing but the digits changes. Resolves when it is synced. */
export function rewriteHashRange(
  disk: Disk,
  path: string,
  range: { min: string; max: string },
): Promise<void> {
  return rewriteDigitsInFile(disk, path, "Server", { minval: range.min, maxval: range.max });
}
