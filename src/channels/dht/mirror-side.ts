/**
 * The node's part in mirroring: a source for mirrors, or itself a mirror of another node, until it is promoted.
 *
 * `<dataDir>/promoted` says that it was: a node that has taken another one's place must not go back to following it after
 * a restart. Invariant: a mirror takes no writes of clients, and a promotion is on disk before it is told.
 */
import { join } from "node:path";
import { NxError } from "../../core/errors.ts";
import type { RoleContext } from "../../core/role.ts";
import { writeFileAtomically } from "../../core/seams/durable-files.ts";
import { tlsToNodes } from "../tls-to-nodes.ts";
import { parseAddress } from "../client/nodes-file.ts";
import { MirrorFollower, type Promotion } from "../mirror/follower.ts";
import { MirrorSource } from "../mirror/source.ts";
import { readCredentials, readOwnCredential } from "../wire/neo/credentials.ts";
import type { DurableStore } from "./durable-store.ts";
import type { DhtConfig } from "./limits.ts";

/** Answers writes at a mirror; the code is that of Redis for a replica. */
const READ_ONLY = "READONLY This node mirrors another one: write there, or promote this one.";

export class MirrorSide {
  readonly #context: RoleContext<DhtConfig>;
  readonly #durable: DurableStore;
  readonly source: MirrorSource | undefined;
  #follower: MirrorFollower | undefined;

  constructor(context: RoleContext<DhtConfig>, durable: DurableStore, onProgress: () => void) {
    this.#context = context;
    this.#durable = durable;
    const { config, net, clock, random, log, tls } = context;
    const { port, isSync, of } = config.mirror;
    if ((port !== undefined || of !== undefined) && config.durability !== "log")
      throw new NxError("NX_CONFIG_INVALID", 'mirror: needs durability "log"');
    if (isSync && port === undefined)
      throw new NxError(
        "NX_CONFIG_INVALID",
        "mirror.isSync: needs mirror.port, or no write is ever acknowledged",
      );
    if (port === undefined) return;
    const { credentialsFile } = config.neo;
    if (credentialsFile === undefined)
      throw new NxError(
        "NX_CONFIG_INVALID",
        "mirror.port: needs neo.credentialsFile, which says who may connect",
      );
    this.source = new MirrorSource({
      net,
      clock,
      random,
      log: log.child("mirror"),
      host: config.host,
      port,
      tls,
      isSync,
      durable,
      credentials: () => readCredentials(credentialsFile),
      slices: () => durable.store.exportSlices(),
      onProgress,
    });
  }

  /** Why clients may not write; undefined: they may. */
  get refusal(): string | undefined {
    return this.#follower === undefined ? undefined : READ_ONLY;
  }

  async start(): Promise<void> {
    const { config, net, clock, log, disk, announcePort } = this.#context;
    const { of, credentialsFile } = config.mirror;
    if (this.source !== undefined) announcePort("mirror.port", await this.source.listen());
    if (of === undefined) return;
    if (await disk.exists(this.#promotedPath)) {
      log.warn("mirror.of no longer counts: this node was promoted", { path: this.#promotedPath });
      return;
    }
    if (credentialsFile === undefined)
      throw new NxError("NX_CONFIG_INVALID", "mirror.of: needs mirror.credentialsFile");
    this.#follower = new MirrorFollower({
      net,
      clock,
      log: log.child("mirror"),
      node: { ...parseAddress(of, "mirror.of"), ...tlsToNodes(this.#context) },
      credential: readOwnCredential(credentialsFile),
      store: this.#durable,
    });
  }

  get #promotedPath(): string {
    return join(this.#context.dataDir, "promoted");
  }

  onDurable(): void {
    this.#follower?.onDurable();
  }

  notReady(): string[] {
    const { source } = this;
    if (this.#follower !== undefined && !this.#follower.figures.isComplete)
      return ["the mirror has no full copy yet"];
    const waits = this.#context.config.mirror.isSync && source?.figures.complete === 0;
    return waits ? ["there is no mirror: writes wait for one"] : [];
  }

  get stats() {
    return { source: this.source?.figures ?? null, follower: this.#follower?.figures ?? null };
  }

  /** Takes the other node's place. Throws NX_USAGE when there is nothing to promote, NX_NOT_READY without a full copy. */
  async promote(isForced: boolean): Promise<Promotion> {
    const follower = this.#follower;
    if (follower === undefined) throw new NxError("NX_USAGE", "this node mirrors nobody");
    const promotion = await follower.promote(isForced);
    await writeFileAtomically(this.#context.disk, this.#promotedPath, `${JSON.stringify(promotion)}\n`);
    this.#follower = undefined;
    this.#context.log.warn("promoted: this node takes writes", { ...promotion });
    return promotion;
  }

  async stop(): Promise<void> {
    this.source?.stop();
    await this.#follower?.stop();
  }
}
