/**
 * `bun run soak deploy [rounds]`: rollouts over ssh to hosts with addresses of their own, cut at every line
 * of their progress.
 *
 * In turn the operator's process is killed, or the plug of a host is pulled so that nobody is told. Then, in
 * turn, the hosts are left alone until no guard is left, or the same command is given at once. Every instance
 * must run the old release or the new one whenever the hosts were left alone, and the same command must end
 * what was begun.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ensureExecutable } from "../../build.ts";
import { Network } from "../cluster/deploy/network.ts";
import { SshCluster } from "../cluster/deploy/ssh-cluster.ts";
import { executable } from "../e2e/node-process.ts";
import { until } from "../e2e/executable.ts";
import type { Soak } from "./run.ts";

const HOSTS = 3;
const SILENCE_MS = 12_000;
/** Progress lines of one deploy of this cluster: no cut comes later. */
const LINES = 40;
const cuts = ["the operator is killed", "a plug is pulled"] as const;

function otherProgram(cluster: SshCluster): string {
  const bytes = readFileSync(executable);
  bytes.write("Prove", bytes.indexOf("Check that this executable works on this host"));
  const path = join(cluster.directory, "other-node-x");
  writeFileSync(path, bytes, { mode: 0o755 });
  return path;
}

/** Waits as long as guards may take, with room for a slow machine. */
async function leftAlone(cluster: SshCluster): Promise<void> {
  const guards = () =>
    cluster.workingDirectories.flatMap((directory) => {
      const place = join(directory, ".node-x/c/guards");
      return existsSync(place) ? readdirSync(place).filter((name) => name.endsWith(".guard.json")) : [];
    });
  for (let waited = 0; guards().length > 0; waited += 100) {
    if (waited > 10 * SILENCE_MS) throw new Error(`guards are left: ${guards().join(" ")}`);
    await Bun.sleep(100);
  }
}

async function cutRound(
  cluster: SshCluster,
  network: Network | undefined,
  { line, cut, program }: { line: number; cut: (typeof cuts)[number]; program: string },
): Promise<boolean> {
  const child = cluster.spawn(["deploy", cluster.prefix, "-y", "--executable", program], program);
  const decoder = new TextDecoder();
  let seen = 0;
  let isCut = false;
  for await (const chunk of child.stderr) {
    seen += decoder.decode(chunk).split("\n").length - 1;
    if (seen < line || isCut) continue;
    isCut = true;
    if (cut === "a plug is pulled" && network !== undefined) network.setPlug(line % HOSTS, false);
    else child.kill("SIGKILL");
    if (cut === "a plug is pulled" && network !== undefined) {
      // Long enough for its guard; the operator notices in its own time and is not waited for.
      await Bun.sleep(SILENCE_MS + 3000);
      child.kill("SIGKILL");
      network.setPlug(line % HOSTS, true);
    }
  }
  await child.exited;
  return isCut;
}

async function runDeploySoak(rounds: number): Promise<Record<string, unknown>> {
  await ensureExecutable();
  using network = Network.create("nxsoak", HOSTS);
  const options =
    network === undefined
      ? {}
      : {
          addresses: network.addresses,
          wrappers: network.addresses.map((_, index) => network.onHost(index)),
        };
  using cluster = await SshCluster.start(HOSTS, options);
  if (network !== undefined) cluster.wrapper = network.onOperator;
  cluster.variables.NODE_X_DEPLOY_SILENCE_MS = String(SILENCE_MS);
  const programs = [executable, otherProgram(cluster)];
  const deploy = async (program: string) => {
    const { code, stderr } = await cluster.run(
      ["deploy", cluster.prefix, "-y", "--executable", program],
      program,
    );
    if (code !== 0) throw new Error(stderr);
  };
  await deploy(executable);
  const figures = { namespaces: network !== undefined, rounds: 0, cut: 0, old: 0, new: 0 };
  for (let round = 0; round < rounds; round++) {
    const line = 1 + Math.floor((round * LINES) / rounds);
    const cut = cuts[round % cuts.length] as (typeof cuts)[number];
    const before = cluster.running();
    const program = programs[(round + 1) % 2] as string;
    const isCut = await cutRound(cluster, network, { line, cut, program });
    if (round % 4 < 2) {
      await leftAlone(cluster);
      const after = await until("all instances to run", () => {
        const running = cluster.running();
        return Object.keys(running).length === HOSTS ? running : undefined;
      });
      const olds = new Set(Object.values(before));
      for (const release of Object.values(after)) figures[olds.has(release) ? "old" : "new"] += 1;
      if (new Set(Object.values(after)).size > 2)
        throw new Error(`more than two releases: ${JSON.stringify(after)}`);
    }
    await deployAfterLocks(deploy, program);
    if (new Set(Object.values(cluster.running())).size !== 1)
      throw new Error("the same command did not end it");
    figures.rounds += 1;
    figures.cut += Number(isCut);
    console.log(`round ${round}: ${cut} after line ${line}: ${JSON.stringify(cluster.running())}`);
  }
  await cluster.run(["kill", cluster.prefix]);
  return figures;
}

/** A dead operator's lock lasts until it expires: a minute at most. */
async function deployAfterLocks(deploy: (program: string) => Promise<void>, program: string): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await deploy(program);
    } catch (error) {
      if (attempt > 90 || !(error as Error).message.includes("NX_LOCK_HELD")) throw error;
      await Bun.sleep(1000);
    }
  }
}

export const soak: Soak = {
  summary: "rollouts over ssh between network namespaces, cut at every line of their progress: [rounds]",
  run: ([rounds = "40"]) => runDeploySoak(Number(rounds)),
};
