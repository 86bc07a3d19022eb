/** Small parts of the protocol that everything rests on, each with what it must refuse. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { seededRandom } from "../../../src/core/seams/random.ts";
import { openAnswers, type AnswerContext, type ServerAnswer } from "../../../src/presence/client/answers.ts";
import { baseUrls } from "../../../src/presence/address.ts";
import { typescriptEngine } from "../../../src/presence/pir/typescript-engine.ts";
import { placeInPartitions } from "../../../src/presence/protocol/batch-code.ts";
import { registerCombined, verifyCombined } from "../../../src/presence/protocol/blinding.ts";
import { rowBytes } from "../../../src/presence/protocol/layout.ts";
import { isAuthentic, leafHash, merkleTree, pathOf, rootOf } from "../../../src/presence/protocol/merkle.ts";
import { decodeMetadata, encodeMetadata } from "../../../src/presence/protocol/metadata.ts";
import { noblePrimitives } from "../../../src/presence/protocol/primitives-noble.ts";
import { nodePrimitives } from "../../../src/presence/protocol/primitives-node.ts";
import { schemeOf } from "../../../src/presence/protocol/scheme.ts";
import { openStatus, sealStatus } from "../../../src/presence/protocol/sealing.ts";
import { buildDatabase } from "../../../src/presence/server/build-database.ts";
import { ed25519 } from "@noble/curves/ed25519.js";

const random = seededRandom(3);

test("a Merkle path proves its own bucket at its own place, and nothing else", () => {
  for (const leaves of [1, 2, 3, 7, 8, 9]) {
    const buckets = Array.from({ length: leaves }, () => random.bytes(20));
    const tree = merkleTree(
      nodePrimitives,
      buckets.map((bucket, index) => leafHash(nodePrimitives, index, bucket)),
    );
    const root = rootOf(tree);
    for (const [index, bucket] of buckets.entries()) {
      const path = pathOf(tree, index);
      expect(isAuthentic(nodePrimitives, root, index, bucket, path)).toBe(true);
      expect(isAuthentic(nodePrimitives, root, index ^ 1, bucket, path)).toBe(false);
      const changed = bucket.slice();
      changed[0]! ^= 1;
      expect(isAuthentic(nodePrimitives, root, index, changed, path)).toBe(false);
    }
  }
});

test("different statuses under one key are sealed under different nonces, equal ones alike", () => {
  const [key, aad] = [random.bytes(64), random.bytes(20)];
  const seal = (text: string) => sealStatus(nodePrimitives, key, aad, new TextEncoder().encode(text));
  expect(seal("one")).toEqual(seal("one"));
  expect(seal("one").subarray(0, 12)).not.toEqual(seal("two").subarray(0, 12));
  expect(openStatus(noblePrimitives, key, aad, seal("one"))).toEqual(new TextEncoder().encode("one"));
  expect(openStatus(nodePrimitives, key, random.bytes(20), seal("one"))).toBeUndefined();
});

test("the keys of a pair differ by direction, epoch, friend and pre-shared secret", () => {
  const scheme = schemeOf(3);
  const [a, b, c, secret] = [random.bytes(32), random.bytes(32), random.bytes(32), random.bytes(32)];
  const ids = [
    scheme.pairKeys(nodePrimitives, scheme.pairSecret(nodePrimitives, secret), {
      epoch: 1,
      announcerPub: a,
      readerPub: b,
    }),
    scheme.pairKeys(nodePrimitives, scheme.pairSecret(nodePrimitives, secret), {
      epoch: 1,
      announcerPub: b,
      readerPub: a,
    }),
    scheme.pairKeys(nodePrimitives, scheme.pairSecret(nodePrimitives, secret), {
      epoch: 2,
      announcerPub: a,
      readerPub: b,
    }),
    scheme.pairKeys(nodePrimitives, scheme.pairSecret(nodePrimitives, secret), {
      epoch: 1,
      announcerPub: a,
      readerPub: c,
    }),
    scheme.pairKeys(nodePrimitives, scheme.pairSecret(nodePrimitives, secret, random.bytes(32)), {
      epoch: 1,
      announcerPub: a,
      readerPub: b,
    }),
  ].map(({ secretId }) => Buffer.from(secretId).toString("hex"));
  expect(new Set(ids).size).toBe(ids.length);
});

test("a key of small order cannot stand for a user, although a signature under it can be made for any message", () => {
  // Under the identity, R = s·B verifies whatever was signed: only the check of the key refuses it.
  const s = new Uint8Array(32);
  s[0] = 1;
  const forged = Buffer.concat([
    ed25519.Point.ZERO.toBytes(),
    random.bytes(44),
    ed25519.Point.BASE.toBytes(),
    s,
  ]);
  expect(verifyCombined(nodePrimitives, forged, 5, 44)).toBe(false);
  const genuine = registerCombined(nodePrimitives, random.bytes(32), 5, random.bytes(16));
  expect(verifyCombined(noblePrimitives, genuine, 5, 44)).toBe(true);
});

test("a hundred friends find places among 150 partitions, each partition at most once", () => {
  for (let round = 0; round < 300; round++) {
    const choices = Array.from({ length: 100 }, () => {
      const own = new Set<number>();
      while (own.size < 3) own.add(random.integer(150));
      return [...own];
    });
    const placed = placeInPartitions(choices, (limit) => random.integer(limit));
    expect(placed).not.toContain(undefined);
    expect(new Set(placed).size).toBe(100);
    placed.forEach((partition, index) => expect(choices[index]).toContain(partition as number));
  }
  // Too many for too few: as many as fit are placed, and still no partition twice.
  const crowded = placeInPartitions(
    Array.from({ length: 4 }, () => [0, 1, 2]),
    (limit) => random.integer(limit),
  );
  expect(crowded.filter((partition) => partition !== undefined).sort()).toEqual([0, 1, 2]);
});

test("metadata survives encoding, and whatever bytes come, decoding gives a value", () => {
  const { metadata } = buildDatabase(random.bytes(600), spec);
  expect(decodeMetadata(encodeMetadata(metadata), 3, 7)).toEqual(metadata);
  expect(decodeMetadata(encodeMetadata(metadata), 3, 8)).toBeUndefined();
  fc.assert(
    fc.property(fc.constantFrom(1, 2, 3), fc.uint8Array({ maxLength: 220 }), (version, bytes) => {
      decodeMetadata(bytes, version as 1 | 2 | 3, 7);
    }),
  );
});

test("an address without a scheme is https, and http only on this host", () => {
  expect(baseUrls("localhost:8443")).toEqual(["https://localhost:8443", "http://localhost:8443"]);
  expect(baseUrls("127.0.0.1:443")).toEqual(["https://127.0.0.1", "http://127.0.0.1:443"]);
  expect(baseUrls("reg.example:8443")).toEqual(["https://reg.example:8443"]);
  expect(baseUrls("http://reg.example:8443/")).toEqual(["http://reg.example:8443"]);
  for (const wrong of ["", "http://", "a b", "x:1?y", "x:99999"]) expect(baseUrls(wrong)).toEqual([]);
});

const spec = {
  ...{ version: 3 as const, isCombined: false, payloadBytes: 16, epoch: 7, epochSeconds: 60, maxBuddies: 10 },
  isBatched: false,
  prfKeys: [random.bytes(16)],
};

describe("authenticated buckets", () => {
  const { metadata, data } = buildDatabase(random.bytes(60 * 50), spec);
  const stride = rowBytes(metadata);
  const wanted = [0, 3, metadata.rows - 1];

  /** Answers of `servers` servers, those of `liars` random. */
  function answersOf(servers: number, degree: number, liars: readonly number[]): ServerAnswer[] {
    const points = Array.from({ length: servers }, (_, index) => 11 * (index + 1));
    const coefficients = random.bytes(degree * wanted.length * metadata.rows);
    const shares = typescriptEngine.share(points, degree, metadata.rows, wanted, coefficients);
    return points.map((point, server) => {
      const share = shares[server] as Uint8Array;
      const honest = typescriptEngine.answer(data, metadata.rows, stride, share, wanted.length);
      const answers = liars.includes(server) ? random.bytes(honest.length) : honest;
      return { server: `s${server}`, point, answers };
    });
  }
  const context = (privacyLevel: number): AnswerContext => ({
    ...{ engine: typescriptEngine, primitives: nodePrimitives, metadata, privacyLevel, rows: wanted },
  });
  const rowsWanted = wanted.map((row) => data.slice(row * stride, (row + 1) * stride - metadata.proofBytes));

  test.each([
    [2, 1, []],
    [3, 1, [0]],
    [3, 1, [2]],
    [5, 1, [0, 1, 2]],
    [6, 2, [1, 3, 4]],
  ] as const)("%i servers, t = %i: liars %p are named and the buckets right", (servers, degree, liars) => {
    const { buckets, liars: named } = openAnswers(context(degree), answersOf(servers, degree, liars));
    expect(buckets.map((bucket) => Buffer.from(bucket).toString("hex"))).toEqual(
      rowsWanted.map((row) => Buffer.from(row).toString("hex")),
    );
    expect(named.sort()).toEqual(liars.map((server) => `s${server}`));
  });

  test.each([
    [2, 1, [0]],
    [3, 2, [1]],
    [4, 1, [0, 1, 2]],
  ] as const)("%i servers, t = %i, liars %p: too many, so nothing is shown", (servers, degree, liars) => {
    expect(() => openAnswers(context(degree), answersOf(servers, degree, liars))).toThrow(/authentic/);
  });
});
