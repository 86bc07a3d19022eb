/**
 * A real redis-server for comparison: on a free loopback port, in a directory of its own, killed afterwards.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../../../e2e/free-ports.ts";

export interface RedisServer extends AsyncDisposable {
  port: number;
}

/** `settings`: words of redis-server's command line. Resolves when it accepts connections. */
export async function startRedis(settings: string[] = []): Promise<RedisServer> {
  const directory = mkdtempSync(join(tmpdir(), "node-x-redis-"));
  const port = await freePort();
  const child = Bun.spawn(
    [
      "redis-server",
      "--port",
      `${port}`,
      "--bind",
      "127.0.0.1",
      "--save",
      "",
      "--dir",
      directory,
      ...settings,
    ],
    { stdin: "ignore", stdout: "pipe", stderr: "ignore" },
  );
  let said = "";
  const reader = child.stdout.getReader();
  while (!said.includes("Ready to accept connections")) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`redis-server did not start:\n${said}`);
    said += Buffer.from(value).toString();
  }
  return {
    port,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.exited;
      rmSync(directory, { recursive: true });
    },
  };
}
