/**
 * Queue nodes in this process, on free ports of loopback.
 *
 * With NODE_X_TEST_NATS in the environment, the address of a nats-server, nodes that would keep nothing have their log in a
 * stream there instead: `bun run soak queue-on-jetstream` runs all of these tests so.
 */
import { createHash } from "node:crypto";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { queue } from "../../../src/channels/queue/role.ts";
import { TestServer } from "../wire/legacy/server.ts";

export { TestServer, world } from "../wire/legacy/server.ts";

const natsServer = process.env["NODE_X_TEST_NATS"];

/** `config` beside durability "memory". */
export function startQueue(
  config: Record<string, unknown> = {},
  directory = mkdtempSync(join(tmpdir(), "node-x-queue-")),
): Promise<TestServer> {
  if (natsServer === undefined || config["durability"] !== undefined)
    return TestServer.start(config, directory, queue);
  // One stream for all lives in one directory.
  const stream = createHash("sha256").update(directory).digest("hex").slice(0, 32);
  const engine = { jetstream: { servers: [natsServer], stream } };
  return TestServer.start({ durability: "log", engine, ...config }, directory, queue);
}
