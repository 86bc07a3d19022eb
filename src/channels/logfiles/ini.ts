/** The INI file of `logfilesnode` and its successor `dlsnode`: what each of its keys means for the logfiles role. */
import type { IniDialect } from "../../core/config/ini/dialect.ts";
import { hash, integer } from "../../core/config/ini/values.ts";
import { logRules, neoDefaults, serverRules, sharedDefaults } from "../ini-keys.ts";

export const logfilesDialect: IniDialect = {
  program: "logfilesnode",
  ownSections: ["Options_LogFiles"],
  ownKeys: [["Performance", "checkpoint_commit_seconds"]],
  rules: [
    ...serverRules,
    { section: "Server", key: "minval", to: "hashRange.min", convert: hash },
    { section: "Server", key: "maxval", to: "hashRange.max", convert: hash },
    { section: "Options_LogFiles", key: "write_buffer_size", note: "memory.memtableBytes says how much waits in memory; it is in the append log" },
    { section: "Performance", key: "checkpoint_commit_seconds", to: "memory.flushPeriodSeconds", convert: integer },
    { section: "Performance", key: "file_buffer_size", note: "files are read in pieces of a mebibyte" },
    { section: "Performance", key: "number_of_thread_workers", note: "files are read and written in one thread" },
    ...logRules,
  ],
  // The files of the original are where it keeps them; it spoke its own protocol only.
  defaults: (context) => ({ ...sharedDefaults(context), ...neoDefaults(context), layout: "classic", channelsDir: ".", httpPort: null, shutdownTimeoutMs: 86_400_000 }),
}; // prettier-ignore
