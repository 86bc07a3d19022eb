/** The configuration of the dhtdump role, what it says of itself, and the INI file of the original. */
import { resolve } from "node:path";
import { z } from "zod";
import type { IniDialect } from "../../core/config/ini/dialect.ts";
import { absolutePath, integer as integerText, text } from "../../core/config/ini/values.ts";
import { group, integer, key, roleSchema } from "../../core/config/schema.ts";
import type { RoleAbout } from "../../core/role.ts";
import { logSocket, nodesCa } from "../config-keys.ts";
import { logRules, sharedDefaults } from "../ini-keys.ts";

const WEEK_SECONDS = 7 * 24 * 3600;

export const dhtdumpConfig = roleSchema({
  node: key(
    group({
      host: key(z.string().min(1).default("127.0.0.1"), "Where the dht node listens."),
      port: key(integer(10_000, { min: 1, max: 65_535 }), "Its port of the legacy swarm protocol."),
    }),
    "The one dht node whose channels are dumped.",
  ),
  nodesCa,
  dumpDir: key(
    z.string().min(1).optional(),
    "Where the .tcm files go; it must exist. May be the data directory of the node that loads them.",
    { absent: "dataDir", example: "data" },
  ),
  periodSeconds: key(
    integer(14_400, { min: 1, max: WEEK_SECONDS }),
    "From the start of one cycle to the start of the next. The first comes after a random part of it.",
  ),
  minWaitSeconds: key(
    integer(60, { min: 0, max: WEEK_SECONDS }),
    "At least this long passes between two cycles.",
  ),
  retryWaitSeconds: key(
    integer(30, { min: 0, max: WEEK_SECONDS }),
    "Pause after a cycle in which something failed.",
  ),
  silenceSecondsMax: key(
    integer(60, { min: 1, max: 3600 }),
    "A node that sends nothing for this long in the middle of an answer has failed.",
  ),
  logSocket,
  isOneshot: key(
    z.boolean().default(false),
    "One cycle at once, repeated until it succeeds; then the process ends.",
  ),
});

export type DhtdumpConfig = z.output<typeof dhtdumpConfig>;

const rules: IniDialect["rules"] = [
  { section: "Dht", key: "address", to: "node.host", convert: text, required: "the address of the dht node" },
  { section: "Dht", key: "port", to: "node.port", convert: integerText, required: "the port of the dht node" },
  { section: "Dump", key: "data_dir", to: "dumpDir", convert: absolutePath },
  { section: "Dump", key: "period_s", to: "periodSeconds", convert: integerText },
  { section: "Dump", key: "min_wait_s", to: "minWaitSeconds", convert: integerText },
  { section: "Dump", key: "retry_wait_s", to: "retryWaitSeconds", convert: integerText },
  { section: "Dump", key: "disable_direct_io", note: "dumps are written through the page cache and synced" },
  ...logRules,
]; // prettier-ignore

export const dhtdumpDialect: IniDialect = {
  program: "dhtdump",
  ownSections: ["Dht", "Dump"],
  rules,
  // The original keeps nothing but dumps; what an instance of ours keeps besides has a directory of its own.
  defaults: (context) => ({
    ...sharedDefaults(context),
    dataDir: "dhtdump-state",
    dumpDir: resolve(context.workingDirectory, "data"),
    "log.console": "text",
  }),
};

export const dhtdumpAbout: RoleAbout<typeof dhtdumpConfig> = {
  name: "dhtdump",
  summary: "Writes the channels of a dht node to dump files, again and again",
  durability: "a dump is complete and synced before it has its name; the one before stays as .backup",
  config: dhtdumpConfig,
  reloadable: [],
  ini: dhtdumpDialect,
};
