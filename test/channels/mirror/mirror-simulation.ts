/**
 * A node and its mirror in one simulated world: clients write to the node, links are cut, the mirror dies and comes back, and
 * at a random moment the node is gone for ever. The mirror is promoted, and what it has is compared with what clients
 * were told.
 */
import { Hono } from "hono";
import { DhtClient, keyText } from "../../../src/channels/client.ts";
import { SimCluster } from "../../../src/core/sim/world.ts";
import { SIM_PORTS, type SimRole, startDht } from "../client/sim-nodes.ts";

const KEYS = 12;
const MIRROR_PORT = 10_400;

export interface MirrorSimulation {
  /** Acknowledged writes that the promoted mirror does not have. */
  lost: string[];
  acknowledged: number;
  /** What the promotion said; undefined: it was refused. */
  promotion: { missingBytes: number; silentMs: number } | undefined;
  hash: string;
}

export function simulateMirror(
  seed: number,
  isSync: boolean,
  files: { node: string; mirror: string },
): MirrorSimulation {
  const cluster = new SimCluster(seed, { disk: { latencyMinMs: 0.05, latencyMeanMs: 0.3 } });
  const random = cluster.scheduler.fork();
  const [node, mirror] = [cluster.host("10.0.0.1"), cluster.host("10.0.0.2")];
  const wait = (ms: number) => new Promise<void>((resolve) => cluster.scheduler.after(ms, resolve));
  const startNode = () =>
    startDht(node, { neo: { credentialsFile: files.node }, mirror: { port: MIRROR_PORT, isSync } });
  const startMirror = () =>
    startDht(mirror, { mirror: { of: `10.0.0.1:${MIRROR_PORT}`, credentialsFile: files.mirror } });
  const settled = new Map<string, string>();
  const inDoubt = new Map<string, string>();
  const lost: string[] = [];
  let [acknowledged, version, isOver] = [0, 0, false];

  async function write(client: DhtClient, own: string[]): Promise<void> {
    while (!isOver) {
      const key = own[random.integer(own.length)] as string;
      const value = `v${++version}`;
      inDoubt.set(key, value);
      try {
        await client.put("ch", key, value);
        settled.set(key, value);
        inDoubt.delete(key);
        acknowledged++;
      } catch {
        return; // the node is gone
      }
      await wait(random.float() * 2);
    }
  }

  const promotion = cluster.scheduler.run(
    async () => {
      await startNode();
      let following: SimRole = await startMirror();
      while (following.role.notReady().length > 0) await wait(20);
      const { world } = cluster.host("10.0.0.9").start();
      const nodes = [{ host: "10.0.0.1", port: SIM_PORTS.port }];
      const client = await DhtClient.connect(world, { nodes, timeoutMs: 3000, attemptTimeoutMs: 3000 });
      const keys = Array.from({ length: KEYS }, (_, index) => keyText(BigInt(index)));
      const writers = [0, 1, 2].map((each) =>
        write(
          client,
          keys.filter((_, index) => index % 3 === each),
        ),
      );
      for (let round = 0; round < 3; round++) {
        await wait(random.float() * 150);
        switch (random.integer(3)) {
          case 0:
            cluster.network.cut("10.0.0.1", "10.0.0.2");
            await wait(random.float() * 100);
            cluster.network.heal();
            break;
          case 1: {
            if (random.integer(2) === 0) mirror.killProcess();
            else mirror.losePower({ names: "any", isTearing: true });
            following = await startMirror();
            // While a mirror copies everything anew it cannot be promoted: wait for it.
            while (following.role.notReady().length > 0) await wait(20);
            break;
          }
          default:
            cluster.network.resetOne();
        }
      }
      await wait(random.float() * 100);
      if (random.integer(2) === 0) node.killProcess();
      else node.losePower({ names: "any", isTearing: true });
      isOver = true;
      await wait(random.float() * 50);
      const app = new Hono();
      following.role.admin?.(app);
      const answer = await app.request("/promote", { method: "POST" });
      if (answer.status !== 200) return undefined;
      const said = (await answer.json()) as { missingBytes: number; silentMs: number };
      client.close();
      const reader = await DhtClient.connect(world, { nodes: [{ host: "10.0.0.2", port: SIM_PORTS.port }] });
      for (const key of keys) {
        const found = (await reader.get("ch", key))?.toString();
        if (found !== settled.get(key) && found !== inDoubt.get(key))
          lost.push(`${key} is ${found}, acknowledged was ${settled.get(key)}`);
      }
      // It is a node as any other.
      await reader.put("ch", keyText(99n), "after");
      reader.close();
      void writers;
      return said;
    },
    { timeLimitMs: 15_000 },
  );
  return { lost, acknowledged, promotion, hash: cluster.scheduler.traceHash };
}
