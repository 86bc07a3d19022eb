/** Whole roles on hosts of a simulated cluster, started as an instance starts them. */
import { dhtConfig } from "../../../src/channels/dht/config.ts";
import { dht } from "../../../src/channels/dht/role.ts";
import { createLog, formatText, logOutput } from "../../../src/core/logging/log.ts";
import { createMetrics } from "../../../src/core/metrics.ts";
import type { Role, RunningRole } from "../../../src/core/role.ts";
import { makeDurableDirectory } from "../../../src/core/seams/durable-files.ts";
import type { SimHost } from "../../../src/core/sim/world.ts";
import type { z } from "zod";

export const SIM_PORTS = { port: 10_000, neoPort: 10_100 };

export interface SimRole {
  role: RunningRole<z.output<z.ZodObject>>;
  lines: string[];
}

/** Starts a role on a host whose process is not running. Its data is in /data of the host's disk. */
export async function startOn(
  host: SimHost,
  role: Role,
  schema: z.ZodObject,
  settings: Record<string, unknown>,
): Promise<SimRole> {
  const { world } = host.start();
  const lines: string[] = [];
  const config = schema.parse({ role: role.name, instance: "sim", dataDir: "/data", ...settings });
  const output = logOutput("trace", [{ sink: { write: (line) => lines.push(line) }, format: formatText }]);
  await makeDurableDirectory(world.disk, "/data");
  const running = await role.start({
    ...world,
    instance: "sim",
    config: config as never,
    dataDir: "/data",
    log: createLog(world.clock, role.name, output),
    metrics: createMetrics("sim", role.name),
    tls: undefined,
    progress: () => {},
    announcePort: () => {},
    fatal: (error) => lines.push(`fatal: ${error.message}`),
  });
  return { role: running, lines };
}

/** A dht node at the usual ports of its host. */
export function startDht(host: SimHost, settings: Record<string, unknown> = {}): Promise<SimRole> {
  const given = { host: host.address, port: SIM_PORTS.port, respPort: null, ...settings };
  return startOn(host, dht, dhtConfig, given);
}
