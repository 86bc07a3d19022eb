/**
 * What the page may do to the cluster, where the configuration allows it. Each is one that an operator has on the command line, too.
 *
 *   drain     an instance refuses new work and finishes what was begun; it stays so until it is started anew
 *   promote   a mirror takes over from its node
 *
 * Invariant: every action is noted before it is tried and after it ended, in the log and among what happened.
 */
import { z } from "zod";
import { adminPost } from "../core/admin-client.ts";
import type { Log } from "../core/logging/log.ts";
import type { ClusterView } from "./cluster-view.ts";

export const actionRequest = z.object({ instance: z.string(), volume: z.string().max(64).optional() });
export type ActionRequest = z.output<typeof actionRequest>;

interface Action {
  /** Roles that have it; undefined: all. */
  roles?: readonly string[];
  path: string;
}

const DEADLINE_MS = 30_000;

export const actions: Readonly<Record<string, Action>> = {
  drain: { path: "/drain" },
  promote: { roles: ["dht"], path: "/promote" },
};

export class Actions {
  readonly #view: ClusterView;
  readonly #log: Log;

  constructor(view: ClusterView, log: Log) {
    this.#view = view;
    this.#log = log;
  }

  /** Returns what was done, in a sentence. Throws with the reason when it was not. */
  async run(name: string, { instance }: ActionRequest): Promise<string> {
    const action = Object.hasOwn(actions, name) ? actions[name] : undefined;
    if (action === undefined) throw new Error(`there is no action "${name}"`);
    const target = this.#view.targets.find((each) => each.name === instance);
    const role = this.#view.find(instance)?.snapshot.role;
    if (target === undefined || role === undefined) throw new Error(`${instance} is not known`);
    if (action.roles !== undefined && !action.roles.includes(role))
      throw new Error(`${name} is for ${action.roles.join(" and ")}, and ${instance} is a ${role}`);
    if ("isUnreachableBecause" in target.endpoint) throw new Error(target.endpoint.isUnreachableBecause);
    this.#log.info(`asked from the page: ${name}`, { instance });
    const { status, body } = await adminPost(target.endpoint, action.path, {}, DEADLINE_MS);
    if (status !== 200) throw new Error(reasonOf(body) ?? `${instance} answers ${status}`);
    this.#view.note(instance, `${name} was asked for on the page`);
    return `${name}: ${instance} has done it`;
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
