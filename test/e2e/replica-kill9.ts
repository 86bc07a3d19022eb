/**
 * `kill -9` under a replica server: workers append to files of their own, the process is killed at a random moment, the
 * next one starts on the same directory, and every byte that a status called synced must be there, unchanged.
 *
 * What the kernel has taken survives a killed process, so this shows that nothing is acknowledged before it was written;
 * power loss is the simulation's business (test/streams/replica/mirror.test.ts).
 */
import { realWorld } from "../../src/core/seams/world-real.ts";
import { seededRandom, type Random } from "../../src/core/seams/random.ts";
import { ReplicaConnection } from "../../src/streams/replica/connection.ts";
import { NodeDirectory, type NodeProcess } from "./node-process.ts";

const WORKERS = 4;
const LIFE_MS_MIN = 50;
const LIFE_SPREAD_MS = 300;

/** What the byte at this place of this worker's file must be. */
const byteAt = (worker: number, offset: number) => (offset * 31 + worker * 7 + (offset >> 9)) & 0xff;

interface Worker {
  number: number;
  synced: number;
}

const connect = (node: NodeProcess) =>
  ReplicaConnection.connect({
    world: realWorld(),
    address: { host: "127.0.0.1", port: node.ports.port as number },
    timeoutMs: 10_000,
  });

/** Appends until the server dies. */
async function append(node: NodeProcess, worker: Worker, random: Random): Promise<void> {
  const connection = await connect(node);
  await connection.request({ command: "u", directory: `worker${worker.number}` });
  const file = (await connection.list())[0];
  let end = file?.bytes ?? 0;
  const send = () => {
    const bytes = Uint8Array.from({ length: 1 + random.integer(3000) }, (_, at) =>
      byteAt(worker.number, end + at),
    );
    end += bytes.byteLength;
    connection.send(bytes);
  };
  await connection.append("state", end, {
    onSynced(bytes) {
      worker.synced = Math.max(worker.synced, bytes);
      send();
    },
    onRoom: () => {},
  });
  send();
  send();
}

async function check(node: NodeProcess, worker: Worker): Promise<string[]> {
  const connection = await connect(node);
  await connection.request({ command: "u", directory: `worker${worker.number}` });
  const [file] = await connection.list();
  const bytes = file === undefined ? new Uint8Array(0) : await connection.download(file);
  connection.close();
  const wrong = bytes.findIndex((byte, offset) => byte !== byteAt(worker.number, offset));
  return [
    ...(wrong < 0 ? [] : [`worker ${worker.number}: byte ${wrong} is not what was appended`]),
    ...(bytes.byteLength < worker.synced
      ? [`worker ${worker.number}: ${worker.synced} bytes were acknowledged, ${bytes.byteLength} are there`]
      : []),
  ];
}

export async function runReplicaKill9({ rounds, seed }: { rounds: number; seed: number }) {
  const random = seededRandom(seed);
  const workers = Array.from({ length: WORKERS }, (_, number): Worker => ({ number, synced: 0 }));
  const violations: string[] = [];
  using directory = new NodeDirectory("replica");
  for (let round = 0; round <= rounds; round++) {
    const node = await directory.start({ port: 0 });
    for (const worker of workers) violations.push(...(await check(node, worker)));
    if (round < rounds) {
      // A request that the kill cuts off is no violation.
      for (const worker of workers) append(node, worker, random).catch(() => undefined);
      await Bun.sleep(LIFE_MS_MIN + random.float() * LIFE_SPREAD_MS);
    }
    process.kill(node.pid, "SIGKILL");
    await node.stderr;
  }
  return { violations, acknowledgedBytes: workers.reduce((sum, { synced }) => sum + synced, 0) };
}
