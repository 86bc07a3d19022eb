/** What an instance must be allowed beyond what every process is: a service manager grants exactly that. */
import { configKeys } from "../../core/config/keys.ts";
import type { LoadedConfig } from "../../core/config/load.ts";
import { valueAt } from "../../core/config/validate.ts";
import type { PortUse } from "./types.ts";

export const privileges = ["lvm", "lowPort"] as const;
/** `lvm`: logical volumes and snapshots. `lowPort`: a port below 1024. */
export type Privilege = (typeof privileges)[number];

const LOW_PORT_MAX = 1023;

export function privilegesOf(ports: readonly PortUse[], loaded?: LoadedConfig): Privilege[] {
  const isLow = ports.some(({ port }) => port <= LOW_PORT_MAX);
  const drivesLvm =
    loaded !== undefined &&
    configKeys(loaded.schema).some(
      ({ path, privilege }) => privilege === "lvm" && valueAt(loaded.config, path) !== undefined,
    );
  return [...(drivesLvm ? ["lvm" as const] : []), ...(isLow ? ["lowPort" as const] : [])];
}
