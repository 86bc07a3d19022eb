/** The INI file of `dhtnode`, of both generations: what each of its keys means for the dht role. */
import type { IniDialect } from "../../core/config/ini/dialect.ts";
import { hash, integer } from "../../core/config/ini/values.ts";
import { logRules, serverRules, sharedDefaults } from "../ini-keys.ts";

export const dhtDialect: IniDialect = {
  program: "dhtnode",
  ownSections: ["Options_Memory"],
  rules: [
    ...serverRules,
    { section: "Server", key: "minval", to: "hashRange.min", convert: hash, required: "the first hash this node owns" },
    { section: "Server", key: "maxval", to: "hashRange.max", convert: hash, required: "the last hash this node owns" },
    { section: "Options_Memory", key: "size_limit", to: "limits.memoryBytesMax", convert: integer },
    { section: "Options_Memory", key: "bnum", note: "the table grows with its records" },
    { section: "Options_Memory", key: "lock_memory", note: "give the unit LimitMEMLOCK=, or the host no swap" },
    { section: "Options_Memory", key: "disable_direct_io", note: "dumps are written through the page cache and synced" },
    ...logRules,
  ],
  // The original spoke its own protocol only; what nobody asked for is not opened.
  defaults: (context) => ({ ...sharedDefaults(context), durability: "dump", respPort: null }),
}; // prettier-ignore
