/**
 * Checks that the ports of a configuration are free, by listening on each for an instant.
 *
 * Nothing is accepted: the listener is closed before a client could be served.
 */
import { createServer } from "node:net";
import { errnoOf } from "../errors.ts";
import { configKeys, isPortKey } from "../config/keys.ts";
import type { LoadedConfig } from "../config/load.ts";
import { valueAt } from "../config/validate.ts";
import { fail, ok, type Finding } from "./finding.ts";

export interface PortUse {
  key: string;
  host: string;
  port: number;
}

/** The fixed ports of a configuration. */
export function portsOf(loaded: LoadedConfig): PortUse[] {
  return configKeys(loaded.schema).flatMap((key) => {
    const port = valueAt(loaded.config, key.path);
    if (!isPortKey(key.name) || typeof port !== "number" || port === 0) return [];
    const host = String(loaded.config[key.name === "adminPort" ? "adminHost" : "host"]);
    return [{ key: key.name, host, port }];
  });
}

export async function checkPort(use: PortUse): Promise<Finding> {
  const name = `port ${use.key}`;
  const address = `${use.host}:${use.port}`;
  const errno = await new Promise<string | undefined>((resolve) => {
    const server = createServer();
    server.once("error", (error) => resolve(errnoOf(error) ?? error.message));
    server.listen(use.port, use.host, () => server.close(() => resolve(undefined)));
  });
  if (errno === undefined) return ok(name, `${address} is free`);
  if (errno === "EADDRINUSE") {
    return fail(
      name,
      `${address} is in use`,
      `stop what listens there (\`ss -ltnp 'sport = :${use.port}'\`), or choose another ${use.key}`,
    );
  }
  if (errno === "EACCES")
    return fail(
      name,
      `${address} is not permitted`,
      "choose a port above 1023, or set AmbientCapabilities=CAP_NET_BIND_SERVICE",
    );
  return fail(name, `${address} cannot be listened on (${errno})`, "choose an address of this host");
}
