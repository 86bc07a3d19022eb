/**
 * The methods of messages.ts, each as a call of the deployment's rooms.
 *
 * Invariant: whatever changes the host checks the lock's generation first and leaves an entry in the audit
 * log, also when it fails. `kill` alone asks for no lock: it must work when everything else hangs.
 */
import { NxError } from "../../core/errors.ts";
import { buildInfo } from "../../core/build-info.ts";
import { Deployment, type HostWorld } from "./deployment.ts";
import { gate } from "./health.ts";
import { IncomingData } from "./incoming-data.ts";
import { AGENT_PROTOCOL, OLDEST_PROTOCOL, type AuditAction, type Method, type Params } from "./messages.ts";
import type { Handler, Handlers, Question } from "./server.ts";
import { follow } from "./follow.ts";

/** Runs a program for the operator; told apart from `run` because its output goes on while it runs. */
export type ExecProgram = (
  words: readonly string[],
  options: { workingDirectory: string; timeoutMs: number; signal: AbortSignal },
  onOutput: (stream: "stdout" | "stderr", bytes: Uint8Array) => Promise<void>,
) => Promise<{ code?: number; signal?: string }>;

export interface AgentOptions {
  world: HostWorld;
  exec: ExecProgram;
  pid: number;
}

type Details = Pick<AuditAction, "instance" | "before" | "after">;

/** Handlers of one conversation, which is about one deployment. */
export function createHandlers({ world, exec, pid }: AgentOptions): Handlers {
  let opened: Deployment | undefined;
  const here = (): Deployment => {
    if (opened !== undefined) return opened;
    throw new NxError("NX_AGENT_PROTOCOL", "the first question must be `hello`");
  };

  /** Checks the lock first. */
  const fenced =
    <Name extends Method>(
      work: (deployment: Deployment, question: Question<Name>) => ReturnType<Handler<Name>>,
    ) =>
    async (question: Question<Name>) => {
      const deployment = here();
      await deployment.lock.assertHeld((question.params as { generation: number }).generation);
      return work(deployment, question);
    };

  /** Leaves a trace of what was done and how it went. */
  const audited = async <Value>(
    action: string,
    { operation, operator }: { operation: string; operator: string },
    details: Details,
    work: (deployment: Deployment) => Promise<Value>,
  ): Promise<Value> => {
    const deployment = here();
    const startedAtMs = world.clock.monotonicMs();
    const write = (result: string) =>
      deployment.audit.append({
        operation,
        operator,
        action,
        ...details,
        result: result.slice(0, 4000),
        durationMs: Math.round(world.clock.monotonicMs() - startedAtMs),
      });
    try {
      const value = await work(deployment);
      await write("ok");
      return value;
    } catch (error) {
      await write((error as Error).message);
      throw error;
    }
  };

  return {
    async hello({ params }) {
      if (params.protocol >= OLDEST_PROTOCOL && params.protocol <= AGENT_PROTOCOL) {
        opened = await Deployment.open(world, params.workingDirectory, params.prefix);
      }
      const { version, commit } = buildInfo;
      return { protocol: AGENT_PROTOCOL, version, commit, pid, machineId: await world.machineId() };
    },
    inventory: () => here().inventory(),

    async "lock-acquire"({ params }) {
      return here().lock.acquire(params);
    },
    async "lock-renew"({ params }) {
      return here().lock.renew(params.generation, params.ttlMs);
    },
    async "lock-release"({ params }) {
      return here().lock.release(params.generation);
    },

    "have-blocks": fenced(async ({ store }, { params, block }) => {
      const { sha256, bytes } = params;
      if ((await store.executableOf(sha256)) !== undefined) {
        store.incoming.remember(sha256, bytes, block);
        return { missing: 0, missingBytes: 0, isComplete: true };
      }
      const { bitmap, ...result } = await store.incoming.have(sha256, bytes, block);
      return { result, block: bitmap };
    }),
    "put-blocks": fenced(async ({ store }, { params, block }) => {
      await store.incoming.put(params.sha256, params, block);
      return {};
    }),
    "finish-executable": fenced(async ({ store }, { params }) => {
      if ((await store.executableOf(params.sha256)) !== undefined) return { selftest: [] };
      return { selftest: await store.incoming.finish(params.sha256) };
    }),
    "adopt-executable": fenced(async ({ store }, { params }) => ({
      isAdopted: await store.incoming.adopt(params.sha256, params.checked),
    })),
    "write-release": fenced(async (_, { params, block }) => {
      const { manifest } = params;
      const path = await audited("write release", params, { after: manifest.id }, ({ store }) =>
        store.write(manifest, block),
      );
      const mark = await world.disk.fileMark(path);
      return mark === undefined ? {} : { checked: { path, mark } };
    }),
    "link-current": fenced(async ({ store }, { params }) => {
      const before = await store.current();
      const details = { ...(before !== undefined && { before }), after: params.release };
      await audited("link current", params, details, () => store.linkCurrent(params.release));
      return {};
    }),
    "mark-bad": fenced(async ({ store }, { params }) => {
      const { release, reason } = params;
      await audited(`mark bad: ${reason}`.slice(0, 200), params, { after: release }, () =>
        store.markBad(release, reason),
      );
      return {};
    }),
    prune: fenced(async ({ store }, { params }) => ({
      removed: await audited("prune", params, {}, () => store.prune(params.keep)),
    })),

    swap: fenced(async (deployment, { params }) => {
      const { instance, release } = params;
      const before = await deployment.store.active(instance);
      const details = { instance, after: release, ...(before !== undefined && { before }) };
      const previous = await audited("swap", params, details, () => deployment.swap(instance, release));
      return previous === undefined ? {} : { previous };
    }),
    forget: fenced(async (deployment, { params }) => {
      await audited(`forget ${params.instances.join(" ")}`.slice(0, 200), params, {}, () =>
        deployment.forget(params.instances),
      );
      return {};
    }),
    start: fenced((deployment, { params }) => each("start", params, (name) => deployment.start([name]))),
    stop: fenced((deployment, { params }) => each("stop", params, (name) => deployment.stop([name]))),
    async kill({ params }) {
      const instances = await audited("kill", params, {}, (deployment) => deployment.kill(params.instances));
      return { instances };
    },
    async status({ params }) {
      return { instances: await here().states(params.instances) };
    },
    async gate({ params, emit, signal }) {
      const deployment = here();
      const { instance, healthyForMs, readyTimeoutMs } = params;
      return gate({
        clock: world.clock,
        healthyForMs,
        readyTimeoutMs,
        signal,
        look: async () => {
          const { service, health } = await deployment.state(instance);
          return { service: { ...service, pid: service.pid, lastEnd: service.lastEnd }, health };
        },
        tell: (text) => emit({ text }),
      });
    },
    async logs({ params, emit, signal }) {
      const { services } = here();
      await follow({ ...params, clock: world.clock, services, signal }, (instance, line) =>
        emit({ instance, line }),
      );
      return {};
    },
    async exec({ params, emit, signal }) {
      const { words, timeoutMs } = params;
      const { workingDirectory } = here();
      return audited(`exec ${words.join(" ")}`.slice(0, 200), params, {}, () =>
        exec(words, { workingDirectory, timeoutMs, signal }, (stream, bytes) =>
          emit({ stream, base64: Buffer.from(bytes).toString("base64") }),
        ),
      );
    },
    "put-data": fenced(async ({ paths }, { params, block }) => {
      await new IncomingData(world.disk, world.run, paths.incomingData).put(params, block);
      return {};
    }),
    "retire-data": fenced(async (_, { params }) => {
      const { instance, dataDir } = params;
      const path = await audited("retire data", params, { instance }, (deployment) =>
        deployment.retire(dataDir),
      );
      return { path };
    }),
    destroy: fenced(async (deployment, { params }) => {
      // The log goes with the deployment; the operator's own keeps the trace.
      return { removed: await deployment.destroy(params.withData) };
    }),

    "guard-arm": fenced(async (deployment, { params }) => {
      const { guard } = params;
      const details = { instance: guard.instance, after: guard.next };
      await audited("arm guard", params, details, () => deployment.guards.arm(guard));
      world.startWatcher(deployment.workingDirectory, deployment.prefix);
      return {};
    }),
    "guard-renew": fenced(async ({ guards }) => {
      await guards.renew();
      return { armed: (await guards.list()).length };
    }),
    "guard-disarm": fenced(async ({ guards }, { params }) => {
      const { instance } = params;
      await audited("disarm guard", params, { instance }, () => guards.disarm(instance));
      return {};
    }),

    async "audit-append"({ params }) {
      const { sequence, hash } = await here().audit.append(params.action);
      return { sequence, hash };
    },
    async "audit-read"({ params, emit, signal }) {
      const { entries, tornBytes } = await here().audit.read();
      const { fromSequence, limit } = params;
      for (const entry of entries.slice(fromSequence, fromSequence + limit)) {
        if (signal.aborted) break;
        await emit(entry);
      }
      return { tornBytes };
    },
  };

  async function each(action: string, params: Params<"start">, work: (instance: string) => Promise<void>) {
    for (const instance of params.instances) {
      await audited(action, params, { instance }, () => work(instance));
      // A guard of a rollout that is over would overrule what was asked for now.
      await here().guards.drop(instance, params.operation);
    }
    return {};
  }
}
