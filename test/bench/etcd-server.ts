/** etcd as processes of their own, in a directory of their own, and a client of the first member. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { until } from "../e2e/executable.ts";
import { freePorts } from "../e2e/group-processes.ts";
import { EtcdClient } from "./etcd-client.ts";
import { benchDirectory } from "./servers.ts";

export interface EtcdServer {
  client: EtcdClient;
  stop(): Promise<void>;
}

const BODY = new Uint8Array(64).fill(118);

export async function startEtcdServer(members: number): Promise<EtcdServer> {
  mkdirSync(benchDirectory, { recursive: true });
  const directory = mkdtempSync(join(benchDirectory, "etcd-"));
  const ports = await freePorts(2 * members);
  const clientUrl = (index: number) => `http://127.0.0.1:${ports[2 * index]}`;
  const peerUrl = (index: number) => `http://127.0.0.1:${ports[2 * index + 1]}`;
  const indexes = Array.from({ length: members }, (_, index) => index);
  const cluster = indexes.map((index) => `m${index}=${peerUrl(index)}`).join(",");
  const children = indexes.map((index) =>
    Bun.spawn(
      [
        "etcd", "--name", `m${index}`, "--data-dir", join(directory, `m${index}`),
        "--listen-client-urls", clientUrl(index), "--advertise-client-urls", clientUrl(index),
        "--listen-peer-urls", peerUrl(index), "--initial-advertise-peer-urls", peerUrl(index),
        "--initial-cluster", cluster, "--logger", "zap", "--log-level", "error",
      ], // prettier-ignore
      {
        cwd: directory,
        stdin: "ignore",
        stdout: "ignore",
        stderr: Bun.file(join(directory, `output.${index}.txt`)),
      },
    ),
  );
  const client = await until("etcd to serve", async () => {
    const candidate = new EtcdClient(clientUrl(0));
    const isServing = await Promise.race([candidate.put("bench0", BODY).then(() => true, () => false), Bun.sleep(2000)]); // prettier-ignore
    if (isServing === true) return candidate;
    candidate.close();
    return undefined;
  });
  return {
    client,
    async stop() {
      client.close();
      for (const child of children) child.kill("SIGKILL");
      await Promise.all(children.map((child) => child.exited));
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
