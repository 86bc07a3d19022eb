/**
 * Stands in for the agent of a host that has none yet, so that a plan can be made without bringing anything
 * there.
 *
 * Invariant: it knows only what the boot script said of the host, answers `inventory` with an empty host, and
 * refuses all else.
 */
import { NxError } from "../../core/errors.ts";
import { streamPair } from "../agent/byte-stream.ts";
import { AgentClient } from "../agent/client.ts";
import { AGENT_PROTOCOL, type HostFacts, type Inventory } from "../agent/messages.ts";
import { serveAgent, type Handlers } from "../agent/server.ts";
import { emptyHead } from "../audit/chain.ts";
import type { Host } from "../topology/types.ts";

export function absentAgent(host: Host, { machine, libc }: { machine: string; libc: string }): AgentClient {
  const refused = () =>
    Promise.reject(new NxError("NX_NOT_RUNNING", `nothing is deployed in ${host.workingDirectory}`));
  const known: Partial<Handlers> = {
    hello: async () => ({ protocol: AGENT_PROTOCOL, version: "", commit: "", pid: 0 }),
    inventory: async () => emptyInventory(host.name, machine, libc),
  };
  const handlers = new Proxy(known, { get: (_, name) => Reflect.get(known, name) ?? refused }) as Handlers;
  const [near, far] = streamPair();
  void serveAgent(far, handlers);
  return new AgentClient(host.name, near, () => new NxError("NX_HOST_LOST", `${host.name}: closed`));
}

function emptyInventory(hostname: string, machine: string, libc: string): Inventory {
  const isKnown = (name: string): name is HostFacts["libc"] => ["glibc", "musl"].includes(name);
  return {
    facts: {
      hostname,
      machine,
      libc: isKnown(libc) ? libc : "unknown",
      kernel: "",
      cpuFlags: [],
      cpuCount: 0,
      memoryBytes: 0,
      freeBytes: 0,
      user: "",
      isRoot: false,
      nowMs: 0,
    },
    servicesKind: "supervisor",
    lock: { generation: 0, isExpired: false },
    releases: [],
    foreignReleases: [],
    instances: [],
    guards: [],
    auditHead: emptyHead,
  };
}
