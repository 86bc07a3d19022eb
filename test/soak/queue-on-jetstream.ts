/** `bun run soak queue-on-jetstream`: the tests of the queue node, every one, with its log in a JetStream stream. */
import { join } from "node:path";
import { NatsServers } from "../core/nats/servers.ts";
import type { Soak } from "./run.ts";

const root = join(import.meta.dir, "../..");

export const soak: Soak = {
  summary: "the tests of the queue node with its log in a JetStream stream",
  async run() {
    await using nats = await NatsServers.start();
    const [server] = nats.settings.servers as [string];
    const child = Bun.spawn([process.execPath, "test", "--timeout", "60000", "./test/channels/queue"], {
      cwd: root,
      env: { ...process.env, NODE_X_TEST_NATS: server },
      stdin: "ignore",
      stdout: "ignore",
      stderr: "pipe",
    });
    const output = await new Response(child.stderr).text();
    if ((await child.exited) !== 0)
      throw new Error(
        output
          .split("\n")
          .filter((line) => line.startsWith("(fail)"))
          .join("\n"),
      );
    const { streams } = await nats.session.manager.getAccountInfo();
    return { passed: Number(/^\s*(\d+) pass$/m.exec(output)?.[1]), streams };
  },
};
