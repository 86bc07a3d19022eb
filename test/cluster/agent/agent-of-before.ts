/**
 * An agent as protocol 1 had it, for operators of today to meet: `bun agent-of-before.ts` takes the place of a host's agent.
 *
 * It opens a deployment only for an operator who says protocol 1, and answers any other with its own number and nothing else.
 */
import { createHandlers } from "../../../src/cluster/agent/handlers.ts";
import { execProgram, realHostWorld, runProgram } from "../../../src/cluster/agent/host-real.ts";
import { AGENT_PROTOCOL } from "../../../src/cluster/agent/messages.ts";
import { serveAgent, type Handlers } from "../../../src/cluster/agent/server.ts";
import { servicesOfHost } from "../../../src/cluster/services/of-host.ts";

const itself = { protocol: 1, version: "of-before", commit: "", pid: process.pid };

const world = realHostWorld([], (directory, prefix) =>
  servicesOfHost(directory, prefix, process.env, runProgram),
);
const today = createHandlers({ world, exec: execProgram, pid: process.pid });
const handlers: Handlers = {
  ...today,
  async hello(question) {
    const { params } = question;
    if (params.protocol === itself.protocol)
      await today.hello({ ...question, params: { ...params, protocol: AGENT_PROTOCOL } });
    return itself;
  },
};
const write = async (bytes: Uint8Array) => void (await Bun.write(Bun.stdout, bytes));
await serveAgent({ incoming: Bun.stdin.stream(), write, close: () => undefined }, handlers);
