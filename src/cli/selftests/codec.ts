/**
 * Self-test: checksums and the frames of the append log have the bytes that the format says, in both
 * implementations.
 *
 * Golden values: CRC-32C vectors of RFC 3720 B.4, and one frame and one file header computed from the byte
 * tables by another program.
 */
import { crc32c, type Crc32c } from "../../core/crc32c.ts";
import { assert } from "../../core/errors.ts";
import {
  encodeFileHeader,
  FileKind,
  frameBytes,
  FrameCodec,
  FrameKind,
  FRAME_HEADER_BYTES,
} from "../../core/append-log/frame.ts";

const ascending = Uint8Array.from({ length: 32 }, (_, index) => index);

const vectors: { name: string; bytes: Uint8Array; crc: number }[] = [
  { name: "32 zeros", bytes: new Uint8Array(32), crc: 0x8a9136aa },
  { name: "32 ones", bytes: new Uint8Array(32).fill(0xff), crc: 0x62a8ab43 },
  { name: "ascending bytes", bytes: ascending, crc: 0x46dd794e },
  { name: "descending bytes", bytes: ascending.toReversed(), crc: 0x113fdb5c },
  { name: "123456789", bytes: Buffer.from("123456789"), crc: 0xe3069283 },
];

export function crc32cVectors(implementation: Crc32c = crc32c): string {
  for (const { name, bytes, crc } of vectors)
    assert(implementation(bytes, 0) === crc, `CRC-32C of ${name} is wrong`);
  const [first, second] = [ascending.subarray(0, 7), ascending.subarray(7)];
  assert(
    implementation(second, implementation(first, 0)) === implementation(ascending, 0),
    "CRC-32C cannot be continued",
  );
  return `${vectors.length} vectors of RFC 3720`;
}

const FILE_ID = ascending.subarray(0, 16);
const PAYLOAD = Buffer.from("hello, frame");
const GOLDEN_HEADER =
  "4e584c4f470d0a1a01000000010000000700000000000000000102030405060708090a0b0c0d0e0f" +
  "00100000000000000300000000000000010000005985d413";
const GOLDEN_FRAME =
  "4e5846520100000003000000000000000c000000040000005f0ecad4dc8e4cca68656c6c6f2c206672616d6500000000";

export function frameGoldenBytes(implementation: Crc32c = crc32c): string {
  const header = encodeFileHeader(
    { kind: FileKind.segment, sequence: 7, id: FILE_ID, position: 4096, firstFrame: 3, payloadFormat: 1 },
    implementation,
  );
  assert(
    Buffer.from(header).toString("hex") === GOLDEN_HEADER,
    "the log's file header has other bytes than the format says",
  );
  const codec = new FrameCodec(FILE_ID, implementation);
  const frame = new Uint8Array(frameBytes(PAYLOAD.byteLength));
  frame.set(PAYLOAD, FRAME_HEADER_BYTES);
  codec.seal(frame, FrameKind.data, 3, PAYLOAD.byteLength, 64);
  assert(
    Buffer.from(frame).toString("hex") === GOLDEN_FRAME,
    "a frame of the log has other bytes than the format says",
  );
  const found = codec.headerAt(new DataView(frame.buffer), 0, 64);
  assert(
    found !== undefined && codec.isIntact(found, frame.subarray(FRAME_HEADER_BYTES)),
    "a golden frame is not recognised",
  );
  assert(
    codec.headerAt(new DataView(frame.buffer), 0, 80) === undefined,
    "a frame is accepted at another offset than its own",
  );
  frame[FRAME_HEADER_BYTES] = (frame[FRAME_HEADER_BYTES] ?? 0) ^ 1;
  assert(
    !codec.isIntact(found, frame.subarray(FRAME_HEADER_BYTES)),
    "a flipped bit in a frame goes unnoticed",
  );
  return "file header and frame have their golden bytes, a flipped bit is noticed";
}
