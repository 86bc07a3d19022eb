/** The golden vectors of the original protocol: every value of dp5-v1.json, by both sides of the primitives. */
import { describe, expect, test } from "bun:test";
import vectors from "../../vectors/presence/dp5-v1.json" with { type: "json" };
import { lagrangeWeights } from "../../../src/presence/pir/gf256.ts";
import { nativeEngine } from "../../../src/presence/pir/native-engine.ts";
import { typescriptEngine } from "../../../src/presence/pir/typescript-engine.ts";
import { epochBytes, fromHex, toHex, utf8 } from "../../../src/presence/protocol/bytes.ts";
import { placeOf } from "../../../src/presence/protocol/layout.ts";
import {
  decodeLookup,
  encodeLookup,
  encodePirPayload,
  LookupType,
  RegistrationError,
  registrationReply,
} from "../../../src/presence/protocol/messages.ts";
import {
  decodeMetadata,
  decodeMetadataReply,
  encodeMetadata,
  metadataReply,
} from "../../../src/presence/protocol/metadata.ts";
import { noblePrimitives } from "../../../src/presence/protocol/primitives-noble.ts";
import { nodePrimitives } from "../../../src/presence/protocol/primitives-node.ts";
import { schemeOf } from "../../../src/presence/protocol/scheme.ts";

const bytes = (text: string) => fromHex(text) as Uint8Array<ArrayBuffer>;
const { v1, v2, metadata, requests, regReplies, pir_gf256: pir } = vectors;
const { epoch } = v1;
const [pubA, pubB] = [bytes(v1.pubA), bytes(v1.pubB)];
const aToB = { epoch, announcerPub: pubA, readerPub: pubB };
const bToA = { epoch, announcerPub: pubB, readerPub: pubA };

describe.each([
  ["node:crypto", nodePrimitives],
  ["@noble", noblePrimitives],
] as const)("the primitives through %s", (_name, primitives) => {
  const secret = primitives.x25519(bytes(v1.privA), pubB);
  const scheme = schemeOf(1);

  test("derive the public keys and the same secret on both sides", () => {
    expect(toHex(primitives.x25519PublicKey(bytes(v1.privA)))).toBe(v1.pubA);
    expect(toHex(primitives.x25519PublicKey(bytes(v1.privB)))).toBe(v1.pubB);
    expect(toHex(secret)).toBe(v1.dh);
    expect(toHex(primitives.x25519(bytes(v1.privB), pubA))).toBe(v1.dh);
  });

  test("derive secret id, data key and id of version 1, different for each direction", () => {
    const keys = scheme.pairKeys(primitives, secret, aToB);
    expect(toHex(keys.secretId)).toBe(v1.H1_AtoB);
    expect(toHex(keys.dataKey)).toBe(v1.H2_AtoB);
    expect(toHex(keys.id)).toBe(v1.H3_AtoB);
    expect(toHex(scheme.pairKeys(primitives, secret, bToA).secretId)).toBe(v1.H1_BtoA);
  });

  test("find the bucket", () => {
    const shape = { rows: v1.numBuckets, partitions: 1 };
    expect(placeOf(primitives, bytes(v1.prfKey), bytes(v1.H3_AtoB), shape).bucket).toBe(v1.bucket_of_H3_AtoB);
  });

  test("seal and open a status of version 1", () => {
    const keys = scheme.pairKeys(primitives, secret, aToB);
    const sealed = scheme.seal(primitives, keys, aToB, utf8(v1.plain));
    expect(toHex(sealed)).toBe(v1.aes128ecb);
    expect(scheme.open(primitives, keys, aToB, sealed)).toEqual(utf8(v1.plain));
  });

  test("seal and open a status of version 2, and refuse one that was altered", () => {
    const scheme2 = schemeOf(2);
    const keys = scheme2.pairKeys(primitives, secret, aToB);
    const sealed = scheme2.seal(primitives, keys, aToB, utf8(v1.plain));
    expect(toHex(sealed)).toBe(v2.ciphertext_and_tag);
    expect(scheme2.open(primitives, keys, aToB, sealed)).toEqual(utf8(v1.plain));
    sealed[3] = (sealed[3] as number) ^ 1;
    expect(scheme2.open(primitives, keys, aToB, sealed)).toBeUndefined();
  });
});

test("an epoch is four bytes, big-endian", () => {
  expect(toHex(epochBytes(epoch))).toBe(v1.epochBE);
});

test("metadata files and replies have the original's bytes", () => {
  const first = decodeMetadata(bytes(metadata.v1_file_722_43), 1, epoch);
  expect(first).toMatchObject({ rows: 722, bucketSize: 43, recordBytes: 26, epoch });
  expect(toHex(encodeMetadata(first as NonNullable<typeof first>))).toBe(metadata.v1_file_722_43);
  expect(toHex(metadataReply(first as NonNullable<typeof first>))).toBe(metadata.v1_reply);
  expect(decodeMetadataReply(bytes(metadata.v1_reply), 1, epoch)).toEqual(first);
  const second = decodeMetadata(bytes(metadata.v2_file_722_43_enc32_len1800_std), 2, epoch);
  expect(second).toMatchObject({
    rows: 722,
    bucketSize: 43,
    sealedBytes: 32,
    epochSeconds: 1800,
    isCombined: false,
  });
  expect(toHex(encodeMetadata(second as NonNullable<typeof second>))).toBe(
    metadata.v2_file_722_43_enc32_len1800_std,
  );
});

test("requests have the original's bytes", () => {
  expect(toHex(encodeLookup(LookupType.metadata, epoch))).toBe(requests.meta);
  expect(toHex(encodeLookup(LookupType.database, epoch))).toBe(requests.download);
  const query = encodeLookup(LookupType.pir, epoch, encodePirPayload(100, new Uint8Array(100)));
  expect(toHex(query).slice(0, 14)).toBe(requests.pir_prefix_100q_BE);
  expect(decodeLookup(query)).toMatchObject({ type: LookupType.pir, epoch });
});

test("replies to registrations have the original's bytes", () => {
  const withEpoch = (text: string) => text.replace("||epochBE", v1.epochBE);
  expect(toHex(registrationReply(RegistrationError.ok, epoch))).toBe(regReplies.ok);
  expect(toHex(registrationReply(RegistrationError.short, epoch))).toBe(withEpoch(regReplies.short));
  expect(toHex(registrationReply(RegistrationError.wrongEpoch, epoch))).toBe(
    withEpoch(regReplies.wrongEpoch),
  );
  expect(toHex(registrationReply(RegistrationError.badLength, epoch))).toBe(withEpoch(regReplies.badLength));
});

describe.each([
  ["C", nativeEngine()],
  ["C, portable kernel", nativeEngine("portable")],
  ["TypeScript", typescriptEngine],
] as const)("retrieval in %s", (_name, engine) => {
  const points = pir.server_x.map((text) => Number.parseInt(text, 16));

  test("shares, answers and decodes the example", () => {
    const shares = engine.share(points, 1, pir.db_rows, [pir.want], bytes(pir.coef_deg1));
    expect(shares.map(toHex)).toEqual(pir.queries);
    const answers = shares.map((share) => engine.answer(bytes(pir.db), pir.db_rows, pir.row_len, share, 1));
    expect(answers.map(toHex)).toEqual(pir.answers);
    expect(lagrangeWeights(points.slice(0, 2), 0)).toEqual(pir.lagrange_at_0_from_servers_0_1.map(Number));
    const decoded = engine.decode(points, 1, answers);
    expect(toHex(decoded?.row ?? new Uint8Array(0))).toBe(pir.recovered);
    expect(decoded?.isRight).toEqual([true, true, true]);
  });
});

test("a registration of version 1 has 2604 bytes", () => {
  expect(4 + 100 * schemeOf(1).recordBytes).toBe(2604);
  expect(4 + 100 * schemeOf(2).recordBytes).toBe(4204);
});
