/**
 * The verbs that families bring along, tools for what their roles keep: one line each, loaded when asked for.
 *
 * Beside roles.ts and not in it, because the table of verbs is read by every call and roles are not.
 */
import type { VerbTable } from "./core/verb.ts";

export const familyVerbs: VerbTable = {
  channels: async () => (await import("./channels/cli/channels.ts")).channelsVerb,
  logfiles: async () => (await import("./channels/cli/logfiles.ts")).logfilesVerb,
  store: async () => (await import("./channels/cli/store.ts")).storeVerb,
  tcm: async () => (await import("./channels/cli/tcm.ts")).tcmVerb,
  walb: async () => (await import("./backup/cli/walb.ts")).walbVerb,
  presence: async () => (await import("./presence/cli/presence.ts")).presenceVerb,
  reactive: async () => (await import("./reactive/cli/reactive.ts")).reactiveVerb,
  stream: async () => (await import("./streams/cli/stream.ts")).streamVerb,
};
