/**
 * The addresses of other instances that a configuration names: values of the keys that a schema marks with `peerOf`,
 * each `host:port` or a list of them.
 */
import { parseAddress } from "../../core/config/group-file.ts";
import { configKeys } from "../../core/config/keys.ts";
import type { LoadedConfig } from "../../core/config/load.ts";
import { valueAt } from "../../core/config/validate.ts";
import type { Peer } from "./clashes.ts";

const isGiven = (config: LoadedConfig["config"], key: string | undefined) =>
  key !== undefined && valueAt(config, key.split(".")) !== undefined;

/** Something else takes the place of the instances that it would need. */
export function isOnItsOwn({ schema, config }: LoadedConfig): boolean {
  return configKeys(schema).some(({ unusedBeside }) => isGiven(config, unusedBeside));
}

export function peersOf({ schema, config }: LoadedConfig): Peer[] {
  return configKeys(schema).flatMap(({ name, path, peerOf, unusedBeside }) => {
    if (peerOf === undefined || isGiven(config, unusedBeside)) return [];
    return [valueAt(config, path)].flat().flatMap((text): Peer[] => {
      const address = typeof text === "string" ? parseAddress(text) : "";
      return typeof address === "string" ? [] : [{ key: name, roles: peerOf, ...address }];
    });
  });
}
