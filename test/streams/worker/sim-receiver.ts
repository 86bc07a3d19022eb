/** A two-phase sink on a simulated host of its own, which can die and come back. */
import { committedParts } from "../../../src/streams/receiver/committed.ts";
import { TwoPhaseReceiver } from "../../../src/streams/receiver/two-phase-receiver.ts";
import type { World } from "../../../src/core/role.ts";
import { recordsOf, type StreamCluster } from "./sim-cluster.ts";

export class SimReceiver {
  readonly host = "10.0.2.1";
  readonly #cluster: StreamCluster;
  readonly #vote: ((isCommit: boolean) => boolean) | undefined;
  #world!: World;

  private constructor(cluster: StreamCluster, vote: ((isCommit: boolean) => boolean) | undefined) {
    this.#cluster = cluster;
    this.#vote = vote;
  }

  static async start(cluster: StreamCluster, vote?: (isCommit: boolean) => boolean): Promise<SimReceiver> {
    const receiver = new SimReceiver(cluster, vote);
    await receiver.restart();
    return receiver;
  }

  kill(): void {
    this.#cluster.sim.host(this.host).killProcess();
  }

  async restart(): Promise<void> {
    this.#world = this.#cluster.sim.host(this.host).start().world;
    const receiver = new TwoPhaseReceiver({
      world: this.#world,
      address: { host: this.host, port: 5555 },
      directory: "/out",
      onCommit: () => {},
      onProblem: () => {},
      ...(this.#vote !== undefined && { vote: this.#vote }),
    });
    await receiver.listen();
  }

  async output(): Promise<Map<string, string[]>> {
    const chunks: Uint8Array[] = [];
    for (const part of await committedParts(this.#world.disk, "/out")) {
      for await (const chunk of part.chunks) chunks.push(Uint8Array.from(chunk));
    }
    return new Map([["the sink", recordsOf(Buffer.concat(chunks))]]);
  }
}
