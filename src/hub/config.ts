/**
 * The configuration of the hub role, and what it says of itself. Only declarations.
 */
import { z } from "zod";
import { reloadableKeys } from "../core/config/keys.ts";
import { integer, key, port, roleSchema } from "../core/config/schema.ts";
import type { RoleAbout } from "../core/role.ts";

export const hubConfig = roleSchema({
  port: port(4000, "Port of the web page."),
  instances: key(
    z.array(z.string().min(1)).default([]),
    "The instances to show: their data directories, or the http(s) addresses of their admin endpoints.",
    {
      isReloadable: true,
    },
  ),
  scrapePeriodMs: key(
    integer(1000, { min: 100, max: 60_000 }),
    "Each instance is asked for its figures this often.",
    { isReloadable: true },
  ),
});

export const hubAbout: RoleAbout<typeof hubConfig> = {
  name: "hub",
  summary: "One web page for a whole cluster",
  durability: "keeps no data",
  config: hubConfig,
  reloadable: reloadableKeys(hubConfig),
};
