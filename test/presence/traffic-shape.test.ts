/**
 * Scenario 19: what servers and networks can tell from a user's messages. Nothing: their number, order and length are the
 * same for every user, and what up to t servers see together is uniform; t + 1 servers see what was asked for.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { httpExchange } from "../../src/core/sockets/http-client.ts";
import { seededRandom } from "../../src/core/seams/random.ts";
import { Identity, type Friend } from "../../src/presence/client.ts";
import { nativeEngine } from "../../src/presence/pir/native-engine.ts";
import { lagrangeWeights, multiply } from "../../src/presence/pir/gf256.ts";
import { nodePrimitives } from "../../src/presence/protocol/primitives-node.ts";
import { PresenceService, status } from "../e2e/presence-service.ts";

const stranger = (): Friend => ({
  publicKey: Identity.generate(nodePrimitives).publicKey,
});

describe.each([
  ["one table", {}],
  ["batch codes", { batchCodes: true }],
] as const)("with %s", (_name, settings) => {
  let service: PresenceService;
  beforeAll(async () => {
    service = await PresenceService.start({ settings });
  }, 60_000);
  afterAll(async () => service?.[Symbol.asyncDispose]());

  test("users with 0, 1, 50 and 100 friends, online, offline or invisible, send and get the same sizes in the same order", async () => {
    /** Method, path without the epoch and length of every message of one epoch of one user. */
    const shapeOf = async (friends: readonly Friend[], isVisible: boolean, areOnline: boolean) => {
      const shape: string[] = [];
      const client = service.client({
        async transport(exchange) {
          const answer = await httpExchange(exchange);
          const path = new URL(exchange.url).pathname.replace(/\d+/, "EPOCH");
          const server = service.lookups.findIndex(({ url }) => exchange.url.startsWith(url));
          shape.push(
            `${server} ${exchange.method ?? "GET"} ${path} ${exchange.body?.length ?? 0} ${answer.body.length}`,
          );
          return answer;
        },
      });
      const user = Identity.generate(nodePrimitives);
      const { epoch } = await client.status();
      const announcements = friends.map((friend) => ({ friend, payload: status("here") }));
      if (isVisible) await client.register(user, announcements, epoch);
      else await client.registerInvisible(user, epoch);
      // Friends who are online: their records are made by themselves, so a few of them suffice.
      const others = areOnline ? friends.slice(0, 2) : [];
      for (let index = 0; index < others.length; index++) {
        const other = Identity.generate(nodePrimitives);
        await service
          .client()
          .register(other, [{ friend: { publicKey: user.publicKey }, payload: status("hi") }], epoch);
        others[index] = { publicKey: other.publicKey };
      }
      const asked = [...others, ...friends.slice(others.length)];
      const next = await service.fastForward();
      const { friends: seen } = await client.lookup(user, asked, next);
      expect(seen.filter(({ state }) => state === "online").length).toBe(others.length);
      // Which of the parallel exchanges ends first is chance; each kind goes to every server.
      return shape.sort();
    };
    const friends = Array.from({ length: 100 }, stranger);
    const shapes = [
      await shapeOf([], true, false),
      await shapeOf(friends.slice(0, 1), true, false),
      await shapeOf(friends.slice(0, 1), true, true),
      await shapeOf(friends.slice(0, 50), true, true),
      await shapeOf(friends, true, false),
      await shapeOf(friends, true, true),
      await shapeOf(friends, false, false),
    ];
    // The table's own size follows the number of records in the epoch, which is public: compare with that taken out.
    const shapesOfRequests = shapes.map((shape) =>
      shape.map((line) => line.split(" ").slice(0, 3).join(" ")),
    );
    for (const shape of shapesOfRequests) expect(shape).toEqual(shapesOfRequests[0] as string[]);
    const registrations = shapes.map((shape) => shape.find((line) => line.includes("/register/")));
    expect(new Set(registrations).size).toBe(1);
    const metadata = shapes.map((shape) => shape.filter((line) => line.includes(" 5 ")).join());
    expect(new Set(metadata).size).toBe(1);
  }, 60_000);

  test("in one epoch, users with no friend and with a hundred send queries of the same length and get answers of the same", async () => {
    const sizes: string[][] = [];
    const friends = Array.from({ length: 100 }, stranger);
    const epoch = await service.epoch();
    await service.client().register(Identity.generate(nodePrimitives), [], epoch);
    const next = await service.fastForward();
    for (const count of [0, 1, 50, 100]) {
      const own: string[] = [];
      const client = service.client({
        async transport(exchange) {
          const answer = await httpExchange(exchange);
          own.push(`${exchange.body?.length ?? 0} ${answer.body.length}`);
          return answer;
        },
      });
      await client.lookup(Identity.generate(nodePrimitives), friends.slice(0, count), next);
      sizes.push(own.sort());
    }
    for (const own of sizes) expect(own).toEqual(sizes[0] as string[]);
  });
});

describe("what coalitions see of two users who ask for different rows", () => {
  const engine = nativeEngine();
  const [rows, rounds] = [4, 20_000];
  // 255 degrees of freedom: beyond 400 once in 10^8 uniform samples, so hundreds of tests together stay quiet.
  const CHI_SQUARE_MAX = 400;

  /** Chi-square of 256 counts against the uniform distribution. */
  function chiSquare(counts: Uint32Array): number {
    const expected = counts.reduce((sum, count) => sum + count, 0) / counts.length;
    return counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
  }

  /**
   * The largest chi-square over all bytes of the queries that a coalition sees, and over all that its members can work
   * out together: interpolation at zero of what they have.
   */
  function worst(degree: number, coalition: readonly number[], wanted: number): number {
    const random = seededRandom(wanted + 10 * degree);
    const points = [3, 71, 200];
    const counts = Array.from({ length: (coalition.length + 1) * rows }, () => new Uint32Array(256));
    const weights = lagrangeWeights(
      coalition.map((server) => points[server] as number),
      0,
    );
    for (let round = 0; round < rounds; round++) {
      const shares = engine.share(points, degree, rows, [wanted], random.bytes(degree * rows));
      for (let row = 0; row < rows; row++) {
        let together = 0;
        coalition.forEach((server, index) => {
          const byte = (shares[server] as Uint8Array)[row] as number;
          together ^= multiply(weights[index] as number, byte);
          (counts[index * rows + row] as Uint32Array)[byte]! += 1;
        });
        (counts[coalition.length * rows + row] as Uint32Array)[together]! += 1;
      }
    }
    return Math.max(...counts.map(chiSquare));
  }

  test.each([
    [1, [0]],
    [1, [1]],
    [1, [2]],
    [2, [0, 1]],
    [2, [0, 2]],
    [2, [1, 2]],
  ] as const)("t = %i: servers %p see uniform bytes, whatever was asked for", (degree, coalition) => {
    for (const wanted of [0, 3]) expect(worst(degree, coalition, wanted)).toBeLessThan(CHI_SQUARE_MAX);
  });

  test.each([
    [1, [0, 1]],
    [2, [0, 1, 2]],
  ] as const)(
    "t = %i: servers %p, one too many, see what was asked for (the control)",
    (degree, coalition) => {
      for (const wanted of [0, 3]) expect(worst(degree, coalition, wanted)).toBeGreaterThan(CHI_SQUARE_MAX);
    },
  );
});
