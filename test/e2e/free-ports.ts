/**
 * Ports that nobody listens on right now, for servers that must be told theirs.
 *
 * Invariant: they are from below those that the kernel hands out by itself, so that neither a server that takes any port nor a
 * client's end of a connection is given one of them before its server listens, or while that is being restarted.
 */
import { createServer } from "node:net";

const LOWEST = 15_000;
const COUNT = 15_000;

function isFree(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer().once("error", () => resolve(false));
    probe.listen(port, host, () => probe.close(() => resolve(true)));
  });
}

export async function freePorts(count: number, host = "127.0.0.1"): Promise<number[]> {
  const found = new Set<number>();
  while (found.size < count) {
    const port = LOWEST + Math.floor(Math.random() * COUNT);
    if (await isFree(port, host)) found.add(port);
  }
  return [...found];
}

export async function freePort(host?: string): Promise<number> {
  const [port] = await freePorts(1, host);
  return port as number;
}
