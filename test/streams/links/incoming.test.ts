/** The receiving end of links, with a sending end on another simulated host. */
import { expect, test } from "bun:test";
import { silentLog } from "../../../src/core/logging/log.ts";
import { SimCluster } from "../../../src/core/sim/world.ts";
import { IncomingLinks } from "../../../src/streams/links/incoming.ts";
import { OutgoingLink } from "../../../src/streams/links/outgoing.ts";

const HOST = "10.0.0.1";
const PORT = 12501;

test("nothing of an epoch that is over is heard, nor anything of the next one before it begins", () => {
  const cluster = new SimCluster(1);
  const wait = (ms: number) => new Promise<void>((resolve) => void cluster.scheduler.after(ms, resolve));
  cluster.scheduler.run(async () => {
    const heard: string[] = [];
    const { world } = cluster.host(HOST).start();
    const incoming = new IncomingLinks({
      ...{ clock: world.clock, net: world.net, log: silentLog(), host: HOST, port: PORT },
      ...{ tls: undefined, self: "here", secret: "" },
      onMessage: (_peer, message) => void heard.push(message.type),
      onBatchEnd: () => {},
      onFatal: (error) => {
        throw error;
      },
    });
    await incoming.listen();
    const { world: there } = cluster.host("10.0.0.2").start();
    const linkOf = (epoch: number) =>
      new OutgoingLink({
        ...{ world: there, log: silentLog(), from: "there", to: "here", host: HOST, port: PORT, epoch },
        ...{ secret: "", onPressure: () => {} },
      });
    incoming.begin(1, ["here", "there"]);
    const first = linkOf(1);
    await wait(50);
    first.congested(true);
    await wait(50);
    expect(heard).toEqual(["congested"]);
    // On its way when the epoch ends.
    first.congested(false);
    incoming.end();
    await wait(300);
    const second = linkOf(2);
    second.watermark(0, 7);
    await wait(300);
    expect(heard).toEqual(["congested"]);
    first.close();
    incoming.begin(2, ["here", "there"]);
    await wait(2000);
    expect(heard).toEqual(["congested", "watermark"]);
    second.close();
    incoming.close();
  });
});

test("a record or a state that the other side would never take is refused at once, and the next one arrives", () => {
  const cluster = new SimCluster(2);
  const wait = (ms: number) => new Promise<void>((resolve) => void cluster.scheduler.after(ms, resolve));
  cluster.scheduler.run(async () => {
    const heard: string[] = [];
    const { world } = cluster.host(HOST).start();
    const incoming = new IncomingLinks({
      ...{ clock: world.clock, net: world.net, log: silentLog(), host: HOST, port: PORT },
      ...{ tls: undefined, self: "here", secret: "" },
      onMessage: (_peer, message) => {
        if (message.type !== "batch") return;
        message.items.raw(2 + 8);
        heard.push(message.items.text());
      },
      onBatchEnd: () => {},
      onFatal: (error) => {
        throw error;
      },
    });
    await incoming.listen();
    incoming.begin(1, ["here", "there"]);
    const { world: there } = cluster.host("10.0.0.2").start();
    const link = new OutgoingLink({
      ...{ world: there, log: silentLog(), from: "there", to: "here", host: HOST, port: PORT, epoch: 1 },
      ...{ secret: "", onPressure: () => {} },
    });
    await wait(50);
    const large = new Uint8Array(64 << 20);
    expect(() => link.record(0, "large", 0, (out) => void out.raw(large))).toThrow(
      "can go to another worker",
    );
    expect(() => link.keyState(0, "large", large)).toThrow("the state of a key has 67108869 bytes");
    link.record(0, "small", 0, (out) => void out.u8(1));
    link.flush();
    await wait(1000);
    expect(heard).toEqual(["small"]);
    link.close();
    incoming.close();
  });
});
