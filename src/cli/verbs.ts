/**
 * The table of verbs: one line each, loaded when it is asked for, so that `node-x version` does not pay for `deploy`.
 */
import type { VerbTable } from "./verb.ts";

export const verbs: VerbTable = {
  roles: async () => (await import("./roles.ts")).rolesVerb,
  check: async () => (await import("./check.ts")).checkVerb,
};
