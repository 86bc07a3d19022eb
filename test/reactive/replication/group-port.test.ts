/** Several groups on one port, and a client in the process of a replica: who is answered by whom, and when. */
import { expect, test } from "bun:test";
import { silentLog } from "../../../src/core/logging/log.ts";
import { SimCluster } from "../../../src/core/sim/world.ts";
import { readQuery, ResultStatus, writeResult } from "../../../src/reactive/replication/client-codec.ts";
import { GroupClient } from "../../../src/reactive/replication/group-client.ts";
import { GroupPort, type PortMember } from "../../../src/reactive/replication/group-port.ts";
import type { LocalReplica } from "../../../src/reactive/replication/replica-line.ts";
import { FrameType } from "../../../src/reactive/wire/frame.ts";

const PORT = 12345;
const HOST = "10.0.0.1";
const textOf = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const bytesOf = (text: string) => new TextEncoder().encode(text);
const limits = {
  connections: 100,
  idleTimeoutMs: 0,
  stallTimeoutMs: 0,
  outboxBytesMax: 1 << 20,
  requestBytesMax: 1 << 20,
};

/** Answers queries with its own name. */
const memberCalled = (group: string): PortMember => ({
  group,
  welcome: () => ({ replica: 0, replicas: 1, view: 0, group }),
  refusalOf: () => "no peers here",
  onFrame({ link }, type, payload) {
    expect(type).toBe(FrameType.query);
    const { number } = readQuery(payload);
    const result = { session: 0, number, status: ResultStatus.ok, view: 0, body: bytesOf(group) };
    link.send(FrameType.result, (writer) => writeResult(writer, result));
  },
});

/** `call` with a port on one host and whoever asks on another. */
function withPort(call: (port: GroupPort, ask: (group: string) => Promise<string>) => Promise<void>): void {
  const cluster = new SimCluster(1);
  const { world } = cluster.host(HOST).start();
  const asking = cluster.host("10.0.0.2").start().world;
  const context = { ...world, log: silentLog(), tls: undefined, announcePort: () => {} };
  const port = new GroupPort({ context, host: HOST, port: PORT, token: undefined, limits });
  const ask = async (group: string) => {
    const client = new GroupClient({
      world: asking,
      group,
      replicas: [{ host: HOST, port: PORT }],
      timeoutMs: 400,
    });
    try {
      return textOf(await client.query(bytesOf("who are you?")));
    } catch {
      return "nobody";
    } finally {
      client.close();
    }
  };
  cluster.scheduler.run(() => call(port, ask), { timeLimitMs: 60_000 });
}

test("who names a group is answered by it, who names none only where there is one", () => {
  withPort(async (port, ask) => {
    await port.join(memberCalled("one"));
    expect(await ask("")).toBe("one");
    await port.join(memberCalled("two"));
    expect([await ask("one"), await ask("two"), await ask("three"), await ask("")]).toEqual([
      "one",
      "two",
      "nobody",
      "nobody",
    ]);
  });
});

test("a group that has left is not answered any more, and the port closes with the last one", () => {
  withPort(async (port, ask) => {
    await Promise.all([port.join(memberCalled("one")), port.join(memberCalled("two"))]);
    port.leave("one");
    expect([await ask("one"), await ask("two")]).toEqual(["nobody", "two"]);
    port.leave("two");
    expect(await ask("two")).toBe("nobody");
  });
});

test("a replica in the same process answers after the call, not within it, and nobody once the client is closed", async () => {
  const cluster = new SimCluster(1);
  const { world } = cluster.host(HOST).start();
  const asked: string[] = [];
  const replica: LocalReplica = {
    requestBytesMax: 1000,
    command: () => {
      throw new Error("nothing was commanded");
    },
    query({ number, body }, reply) {
      asked.push(textOf(body));
      reply({ session: 0, number, status: ResultStatus.ok, view: 3, body });
    },
  };
  const client = new GroupClient({
    world,
    group: "any",
    replicas: [{ host: HOST, port: PORT }],
    here: { index: 0, replica },
  });
  const question = (text: string) =>
    client.query(bytesOf(text)).then(textOf, ({ message }: Error) => message);
  const answer = question("a");
  expect([asked, client.view]).toEqual([["a"], undefined]);
  expect(await answer).toBe("a");
  expect(client.view).toBe(3);
  expect(await question("x".repeat(1100))).toContain("it takes 1000");
  const late = question("b");
  expect(asked.at(-1)).toBe("b");
  client.close();
  expect(await late).toContain("the client was closed");
});
