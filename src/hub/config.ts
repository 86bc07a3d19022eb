/**
 * The configuration of the hub role, and what it says of itself. Only declarations.
 */
import { z } from "zod";
import { reloadableKeys } from "../core/config/keys.ts";
import { filePath, integer, key, port, roleSchema } from "../core/config/schema.ts";
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
  scrapeTokenFile: key(
    filePath().optional(),
    "File with the bearer token for admin endpoints given as addresses. Must not be readable by other users.",
    { fileKind: "secret", absent: "no token is sent", example: "admin.token" },
  ),
  scrapeCa: key(
    filePath().optional(),
    "PEM file with the authorities that sign the certificates of https addresses. The hub's own `tls` pair, if any, is its client certificate.",
    { fileKind: "caBundle", absent: "the host's own authorities", example: "tls/ca.crt" },
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
  reach: { port: "http://{host}:{port}/" },
};
