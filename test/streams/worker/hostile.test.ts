/** Strangers at the ports of a cluster that runs: what they say costs them their connection, and nobody else anything. */
import { expect, test } from "bun:test";
import detector from "../../../src/streams/apps/detector.ts";
import { jsonFrame } from "../../../src/streams/links/json-frames.ts";
import { proofOf } from "../../../src/streams/links/secret.ts";
import { helloWords, newsWords } from "../../../src/streams/worker/control-port.ts";
import type { Hello } from "../../../src/streams/worker/messages.ts";
import { ByteWriter } from "../../../src/streams/wire/bytes.ts";
import { frameOf } from "../../../src/streams/wire/frame.ts";
import { CONTROL_PORT, StreamCluster, violation } from "./sim-cluster.ts";

const SECRET = "sesame";
const DATA_PORT = 12_501;
const KEYS = ["a", "b", "c"];

/** A hello that would be let in: of a worker that knows the secret, and joins. */
function hello(plan: string, odd: Record<string, unknown>): Uint8Array {
  const whole: Hello = {
    ...{ type: "hello", name: "worker9", incarnation: 1, life: 1, plan, epoch: 0, committed: 0, prepared: 0 },
    ...{ hasSources: false, joining: 1, proof: "" },
    place: { name: "worker9", control: "10.0.0.9:1", data: "10.0.0.9:2" },
  };
  const said = { ...whole, ...odd } as Hello;
  return jsonFrame({ ...said, proof: proofOf(SECRET, helloWords(said)) });
}

const linkHello = (text: string) => new ByteWriter().frame((out) => out.u8(0).text(text)).done();

test("what a peer says that makes no sense ends its connection, also when it knows the secret", () => {
  const cluster = new StreamCluster(1, { app: detector, size: 2 });
  cluster.scheduler.run(
    async () => {
      await cluster.startAll();
      const sender = cluster.send(KEYS, Number.POSITIVE_INFINITY);
      const { world } = cluster.sim.host("10.0.1.9").start();
      /** Resolves when the other side has closed the connection. */
      const say = (host: string, port: number, bytes: Uint8Array) => {
        const { promise, resolve } = Promise.withResolvers<void>();
        const handlers = {
          open: (socket: { write(bytes: Uint8Array): number }) => void socket.write(bytes),
          data: () => {},
          drain: () => {},
          close: () => resolve(),
        };
        void world.net.connect<undefined>({ host, port, handlers });
        return promise;
      };
      const { hash } = cluster.leader.engine.plan;
      const place = { name: "worker9", control: "10.0.0.9:1", data: "10.0.0.9:2" };
      const toControl = [
        ...["null", "5", "[]", "{}", "{", '{"type":"hello"}', '{"type":"begin"}'].map((text) =>
          frameOf(Buffer.from(text)),
        ),
        hello(hash, { place: undefined }),
        hello(hash, { place: 5 }),
        hello(hash, { place: { ...place, data: "nowhere" } }),
        hello(hash, { place: { ...place, control: "10.0.0.9:99999" } }),
        hello(hash, { place: { ...place, sources: { tcp: 1 } } }),
        hello(hash, { name: "../../etc" }),
        hello(hash, { epoch: 1e300 }),
        hello(hash, { epoch: -1 }),
        hello(hash, { joining: "many" }),
        hello(hash, { committed: null }),
        jsonFrame({ type: "leaderAt", control: "nowhere", proof: proofOf(SECRET, newsWords("nowhere")) }),
        // More than a stranger may say before it has said who it is.
        new Uint8Array([0, 2, 0, 0]),
      ];
      const toData = [
        ...["null", "5", "{}", "{"].map(linkHello),
        frameOf(new Uint8Array(0)),
        frameOf(new Uint8Array([3, 0, 0, 0, 0, 0, 0, 0, 1])),
        new Uint8Array([0, 2, 0, 0]),
      ];
      for (const host of ["10.0.0.1", "10.0.0.2"]) {
        for (const bytes of toControl) await say(host, CONTROL_PORT, bytes);
        for (const bytes of toData) await say(host, DATA_PORT, bytes);
      }
      // Who leads does not go after another leader.
      const elsewhere = "10.0.1.9:1";
      const proof = proofOf(SECRET, newsWords(elsewhere));
      await say("10.0.0.1", CONTROL_PORT, jsonFrame({ type: "leaderAt", control: elsewhere, proof }));
      expect(cluster.leader.member.leader).toBe("");
      expect([...cluster.workers.values()].map(({ fatal }) => fatal)).toEqual([undefined, undefined]);
      expect(cluster.leader.leader?.status).toMatchObject({ phase: "running", epoch: 1, joining: [] });
      const count = sender.finish();
      await cluster.untilAcked();
      expect(violation(await cluster.output(), KEYS, count)).toBeUndefined();
    },
    { timeLimitMs: 600_000 },
  );
});
