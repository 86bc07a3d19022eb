/** Ports of loopback that nobody listens on right now, for servers that must be told theirs. */
import { createServer } from "node:net";

export function freePorts(count: number): Promise<number[]> {
  const take = () =>
    new Promise<{ port: number; close(): void }>((resolve, reject) => {
      const probe = createServer();
      probe.once("error", reject);
      probe.listen(0, "127.0.0.1", () => {
        resolve({ port: (probe.address() as { port: number }).port, close: () => void probe.close() });
      });
    });
  return Promise.all(Array.from({ length: count }, take)).then((probes) => {
    for (const probe of probes) probe.close();
    return probes.map(({ port }) => port);
  });
}
