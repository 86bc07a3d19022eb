/**
 * What the page may do to the cluster, where the configuration allows it. Each is one that an operator has on the command line, too.
 *
 *   drain     an instance refuses new work and finishes what was begun; it stays so until it is started anew
 *   promote   a mirror takes over from its node
 *   snapshot  a volume of a storage gets a point at which it can be restored
 *
 * Invariant: every action is noted before it is tried and after it ended, in the log and among what happened.
 */
import { z } from "zod";
import { adminPost } from "../core/admin-client.ts";
import { Controller } from "../backup/client/controller.ts";
import type { Log } from "../core/logging/log.ts";
import type { World } from "../core/role.ts";
import type { Target } from "../core/watch/scraper.ts";
import type { Watched } from "../core/watch/watched.ts";
import type { ClusterView } from "./cluster-view.ts";

export const actionRequest = z.object({ instance: z.string(), volume: z.string().max(64).optional() });
export type ActionRequest = z.output<typeof actionRequest>;

interface Action {
  /** Roles that have it; undefined: all. */
  roles?: readonly string[];
  /** Returns what was done, in words that follow the action's name. */
  run(place: Place, request: ActionRequest): Promise<string>;
}

interface Place {
  target: Target;
  watched: Watched;
  world: Pick<World, "net" | "clock">;
}

const DEADLINE_MS = 30_000;

/** POSTs to the instance's own admin endpoint. */
const posting =
  (path: string) =>
  async ({ target }: Place) => {
    if ("isUnreachableBecause" in target.endpoint) throw new Error(target.endpoint.isUnreachableBecause);
    const { status, body } = await adminPost(target.endpoint, path, {}, DEADLINE_MS);
    if (status !== 200) throw new Error(reasonOf(body) ?? `${target.name} answers ${status}`);
    return `${target.name} has done it`;
  };

/** Over the storage's own protocol, as `node-x walb snapshot` does. */
async function takeSnapshot({ target, watched, world }: Place, { volume }: ActionRequest): Promise<string> {
  const { port } = watched.snapshot.ports;
  if (volume === undefined || port === undefined)
    throw new Error("wanted the volume, of a storage that answers");
  const controller = new Controller({
    ...{ net: world.net, clock: world.clock, host: target.address ?? "127.0.0.1", port },
    clientId: "hub",
    timeoutMs: DEADLINE_MS,
  });
  return `gid ${await controller.snapshot(volume)} of ${volume}`;
}

export const actions: Readonly<Record<string, Action>> = {
  drain: { run: posting("/drain") },
  promote: { roles: ["dht"], run: posting("/promote") },
  snapshot: { roles: ["storage"], run: takeSnapshot },
};

export class Actions {
  readonly #view: ClusterView;
  readonly #world: Place["world"];
  readonly #log: Log;

  constructor(view: ClusterView, world: Place["world"], log: Log) {
    this.#view = view;
    this.#world = world;
    this.#log = log;
  }

  /** Returns what was done, in a sentence. Throws with the reason when it was not. */
  async run(name: string, request: ActionRequest): Promise<string> {
    const { instance } = request;
    const action = Object.hasOwn(actions, name) ? actions[name] : undefined;
    if (action === undefined) throw new Error(`there is no action "${name}"`);
    const target = this.#view.targets.find((each) => each.name === instance);
    const watched = this.#view.find(instance);
    const role = watched?.snapshot.role;
    if (target === undefined || watched === undefined || role === undefined)
      throw new Error(`${instance} is not known`);
    if (action.roles !== undefined && !action.roles.includes(role))
      throw new Error(`${name} is for ${action.roles.join(" and ")}, and ${instance} is a ${role}`);
    this.#log.info(`asked from the page: ${name}`, { instance });
    const done = await action.run({ target, watched, world: this.#world }, request);
    this.#view.note(instance, `${name} was asked for on the page`);
    return `${name}: ${done}`;
  }
}

function reasonOf(body: string): string | undefined {
  try {
    const { error } = JSON.parse(body) as { error?: unknown };
    return typeof error === "string" ? error : undefined;
  } catch {
    return undefined;
  }
}
