/**
 * The configuration of the hub role, and what it says of itself. Only declarations.
 */
import { z } from "zod";
import { reloadableKeys } from "../core/config/keys.ts";
import {
  crossCheck,
  filePath,
  group,
  integer,
  isLoopback,
  key,
  port,
  roleSchema,
} from "../core/config/schema.ts";
import type { RoleAbout } from "../core/role.ts";

const MEBIBYTE = 1024 * 1024;

const keys = roleSchema({
  port: port(4000, "Port of the web page."),
  metricsPort: key(
    z.int().min(0).max(65535).nullable().default(5001),
    "Port on which stream workers tell what they measured. 0 takes a free port; <dataDir>/ports.json tells which. null: none.",
  ),
  cluster: key(
    z.string().min(1).optional(),
    "The prefix of the cluster to show, with its path: `configs/staging`. Its files are read again every half a minute.",
    {
      isReloadable: true,
      absent: "the prefix of the hub's own file, unless `instances` names some",
      example: "configs/staging",
    },
  ),
  instances: key(
    z.array(z.string().min(1)).default([]),
    "Further instances to show: their data directories, or the http(s) addresses of their admin endpoints.",
    {
      isReloadable: true,
    },
  ),
  scrapeTokenFile: key(
    filePath().optional(),
    "File with the bearer token for admin endpoints on other hosts. Must not be readable by other users.",
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
  metricsPeriodMs: key(
    integer(15_000, { min: 100, max: 60_000 }),
    "Each instance is asked for its metrics this often, by chance a tenth earlier or later; `GET /metrics` tells what they said last.",
    { isReloadable: true },
  ),
  passwordFile: key(
    filePath().optional(),
    "File with the password that the page demands. Must not be readable by other users. Programs send it as bearer token.",
    { fileKind: "secret", absent: "no login; only allowed on loopback", example: "hub.password" },
  ),
  allowsActions: key(
    z.boolean().default(false),
    "The page may change the cluster: drain an instance, promote a mirror, take a snapshot. Each asks before it does.",
    { isReloadable: true },
  ),
  history: key(
    group({
      days: key(
        integer(60, { min: 1, max: 3650 }),
        "Graphs reach back so far: a quarter of an hour in full detail, two hours by 10 s, two days by the minute, the rest by 15 minutes.",
      ),
      bytesMax: key(
        integer(256 * MEBIBYTE, { min: MEBIBYTE }),
        "When the file of the graphs takes more than this, its oldest rows go first.",
      ),
    }),
    "What graphs are drawn from, in <dataDir>/history.sqlite.",
  ),
});

export const hubConfig = crossCheck(keys, {
  path: ["host"],
  wanted: "a loopback address, or passwordFile and tls beside it",
  holds: (value) => {
    const config = value as Partial<z.output<typeof keys>>;
    if (isLoopback(config.host ?? "127.0.0.1")) return true;
    return config.passwordFile !== undefined && config.tls !== undefined;
  },
});

export const hubAbout: RoleAbout<typeof hubConfig> = {
  name: "hub",
  summary: "One web page for a whole cluster",
  durability: "keeps graphs only: a crash loses none, power loss the newest seconds",
  config: hubConfig,
  reloadable: reloadableKeys(hubConfig),
  reach: { port: "http://{host}:{port}/" },
  overviewPort: "port",
};
