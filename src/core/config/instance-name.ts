/**
 * What a configuration file's name says: the role and the instance.
 *
 * `local.dht0.json` is instance `local.dht0` of role `dht` in cluster `local`; `dht.json` is instance `dht`
 * of role `dht`. Other names say nothing, then the keys `role` and `instance` must.
 */
import { basename } from "node:path";

export interface FileNameClaim {
  role: string;
  instance: string;
  /** The cluster's prefix; undefined for `<role>.json`. */
  prefix: string | undefined;
}

/** What `file` claims to be, given the names of all roles. */
export function claimOfFileName(file: string, roleNames: readonly string[]): FileNameClaim | undefined {
  const match = /^(?:(?<prefix>[A-Za-z0-9][A-Za-z0-9_-]*)\.)?(?<role>[a-z]+)(?<index>\d*)\.jsonc?$/.exec(
    basename(file),
  );
  const { prefix, role, index } = match?.groups ?? {};
  if (role === undefined || !roleNames.includes(role)) return undefined;
  // `dht0.json` without a prefix is no cluster member and no plain `<role>.json`.
  if (prefix === undefined && index !== "") return undefined;
  return { role, instance: prefix === undefined ? role : `${prefix}.${role}${index}`, prefix };
}
