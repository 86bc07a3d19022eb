/**
 * The addresses of other instances that a configuration names: values of the keys that a schema marks with `peerOf`,
 * each `host:port` or a list of them.
 */
import { parseAddress } from "../../core/config/group-file.ts";
import { configKeys } from "../../core/config/keys.ts";
import type { LoadedConfig } from "../../core/config/load.ts";
import { valueAt } from "../../core/config/validate.ts";
import type { Peer } from "./clashes.ts";

export function peersOf({ schema, config }: LoadedConfig): Peer[] {
  return configKeys(schema).flatMap(({ name, path, peerOf }) => {
    if (peerOf === undefined) return [];
    return [valueAt(config, path)].flat().flatMap((text): Peer[] => {
      const address = typeof text === "string" ? parseAddress(text) : "";
      return typeof address === "string" ? [] : [{ key: name, roles: peerOf, ...address }];
    });
  });
}
