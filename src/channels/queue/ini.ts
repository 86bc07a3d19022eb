/** The INI file of `queuenode` and `dmqnode`: what each of its keys means for the queue role. */
import type { Converted, IniDialect } from "../../core/config/ini/dialect.ts";
import { integer } from "../../core/config/ini/values.ts";
import { logRules, neoDefaults, serverRules, sharedDefaults } from "../ini-keys.ts";

const sizeOfPrefix = (text: string): Converted =>
  /^[A-Za-z0-9_-]+=[1-9]\d{1,11}$/.test(text) ? { value: text } : { wanted: "a number of bytes from 10 on" };

export const queueDialect: IniDialect = {
  program: "queuenode",
  ownSections: ["Overflow", "ChannelSizeById"],
  ownKeys: [["Server", "channel_size_limit"]],
  rules: [
    ...serverRules,
    { section: "Server", key: "size_limit", to: "channels.sizeBytesMax", convert: integer },
    { section: "Server", key: "channel_size_limit", to: "channels.ringBytes", convert: integer, required: "the bytes of one channel" },
    { section: "ChannelSizeById", key: "*", to: "channels.ringBytesByPrefix", convert: sizeOfPrefix, gathers: true },
    { section: "Overflow", key: "write_index_ms", note: "a full channel refuses or drops, see channels.whenFull" },
    ...logRules,
  ],
  // The original spoke its own protocol only; what nobody asked for is not opened.
  defaults: (context) => ({ ...sharedDefaults(context), ...neoDefaults(context), durability: "save", respPort: null, shutdownTimeoutMs: 86_400_000 }),
}; // prettier-ignore
