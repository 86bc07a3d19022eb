/** Queue nodes in this process, on free ports of loopback. */
import { queue } from "../../../src/channels/queue/role.ts";
import { TestServer } from "../wire/legacy/server.ts";

export { TestServer, world } from "../wire/legacy/server.ts";

/** `config` beside durability "memory". */
export function startQueue(config: Record<string, unknown> = {}, directory?: string): Promise<TestServer> {
  return TestServer.start(config, directory, queue);
}
