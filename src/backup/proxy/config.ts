/** The configuration of the proxy role, and what it says of itself. Only declarations. */
import { z } from "zod";
import { reloadableKeys } from "../../core/config/keys.ts";
import { integer, key, port, roleSchema } from "../../core/config/schema.ts";
import type { RoleAbout } from "../../core/role.ts";
import { serverKeys } from "../server/config-keys.ts";

export const proxyConfig = roleSchema({
  port: port(13010, "Port of the WalB protocol: storages and the controller."),
  ...serverKeys({
    role: "proxy",
    example: "p0",
    holds: "the volumes and their queues",
    foreground: "Logs received",
  }),
  backgroundMax: key(integer(1, { min: 1, max: 1000 }), "Diffs sent at once (-bg)."),
  sendBytesMax: key(
    integer(128 << 20, { min: 1 << 20 }),
    "Diffs are joined for one send while together they are at most this long (-wd).",
  ),
  sendDiffsMax: key(integer(1000, { min: 1, max: 10_000 }), "Diffs joined for one send (-wn)."),
  retryMinMs: key(
    integer(1000, { min: 10, max: 3_600_000 }),
    "First wait after a refusal (-delay); it doubles each time.",
  ),
  retryMaxMs: key(
    integer(300_000, { min: 10, max: 86_400_000 }),
    "Longest wait after a refusal (-maxdelay).",
  ),
  giveUpSeconds: key(
    integer(1800, { min: 1 }),
    "A refused send is given up when the storage sent nothing for this long (-rto); `kick` begins anew.",
  ),
  sendBytesPerSecond: key(
    integer(0, { min: 0 }),
    "What all archives together are sent, at most. 0 is no limit.",
  ),
  startsStopped: key(z.boolean().default(false), "Volumes are not started by themselves (-stop)."),
});

export const proxyAbout: RoleAbout<typeof proxyConfig> = {
  name: "proxy",
  summary:
    "Block-volume backup: turns logs into diffs, queues them and forwards them to archives (replaces walb-proxy)",
  durability: "A log is acknowledged when its diff is synced in the queue of every archive",
  config: proxyConfig,
  reloadable: reloadableKeys(proxyConfig),
};
