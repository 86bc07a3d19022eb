/**
 * Writing by HTTP: one JSON object a line, `{"time":…,"value":"…"}` or `{"time":…,"base64":"…"}`; without `time` the record
 * gets the present second.
 *
 * Invariant: the answer comes when every record it counts is as durable as the node promises. A line that is none ends the
 * request with its number; the records before it are kept, and the answer says how many.
 */
import type { Clock } from "../../../core/seams/clock.ts";
import type { LogStore } from "../store/log-store.ts";
import { parseTime } from "./query.ts";

/** The longest value, by the protocol that the node also speaks. */
const VALUE_BYTES_MAX = 65_536;
/** A record, escaped in the worst way, and its names. */
const LINE_BYTES_MAX = 8 * VALUE_BYTES_MAX;

/** What was wrong, and what to answer. */
export class IngestError extends Error {
  readonly status: 400 | 507;

  constructor(status: 400 | 507, message: string) {
    super(message);
    this.status = status;
  }
}

/** The lines of a body, without their ends; the last one may lack it. Throws for one that is too long. */
async function* linesOf(body: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  let kept = Buffer.alloc(0);
  for await (const chunk of body) {
    let bytes = kept.byteLength === 0 ? Buffer.from(chunk) : Buffer.concat([kept, chunk]);
    for (let end = bytes.indexOf(0x0a); end >= 0; end = bytes.indexOf(0x0a)) {
      yield bytes.subarray(0, end);
      bytes = bytes.subarray(end + 1);
    }
    if (bytes.byteLength > LINE_BYTES_MAX) throw new IngestError(400, "a line is too long");
    kept = Buffer.from(bytes);
  }
  if (kept.byteLength > 0) yield kept;
}

interface Line {
  key: bigint;
  value: Buffer;
}

function parseLine(text: string, nowSeconds: bigint): Line {
  let fields: Record<string, unknown>;
  try {
    fields = JSON.parse(text) as Record<string, unknown>;
  } catch {
    throw new IngestError(400, "not JSON");
  }
  if (typeof fields !== "object" || fields === null) throw new IngestError(400, "not an object");
  const { time, value, base64, ...others } = fields;
  const [unknown] = Object.keys(others);
  if (unknown !== undefined)
    throw new IngestError(400, `"${unknown}" is no field; fields are time, value, base64`);
  const key = time === undefined ? nowSeconds : parseTime(time);
  if (key === undefined) throw new IngestError(400, "time: wanted UNIX seconds or an RFC 3339 text");
  const bytes =
    typeof value === "string" && base64 === undefined ? Buffer.from(value) : bytesOf(base64, value);
  if (bytes.byteLength === 0) throw new IngestError(400, "an empty value cannot be kept");
  if (bytes.byteLength > VALUE_BYTES_MAX)
    throw new IngestError(400, `a value has at most ${VALUE_BYTES_MAX} bytes`);
  return { key, value: bytes };
}

function bytesOf(base64: unknown, value: unknown): Buffer {
  if (typeof base64 !== "string" || value !== undefined)
    throw new IngestError(400, "wanted either value or base64, a text");
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(base64) || base64.length % 4 !== 0)
    throw new IngestError(400, "base64: not in that form");
  return Buffer.from(base64, "base64");
}

export interface Ingested {
  accepted: number;
  error?: IngestError;
}

/** Writes the lines of a body; resolves when what was accepted is durable. */
export async function ingest(
  store: LogStore,
  clock: Clock,
  channel: string,
  body: AsyncIterable<Uint8Array>,
): Promise<Ingested> {
  let accepted = 0;
  let line = 0;
  let failure: IngestError | undefined;
  const commitPieces = async () => {
    store.commit();
    await store.whenRoom();
  };
  try {
    for await (const bytes of linesOf(body)) {
      line += 1;
      const text = bytes.toString();
      if (text.trim() === "") continue;
      if (store.refusal !== undefined) throw new IngestError(507, store.refusal);
      const { key, value } = parseLine(text, BigInt(Math.floor(clock.nowMs() / 1000)));
      store.put(channel, key, value);
      accepted += 1;
      // Clients on other connections have their turns in between.
      if (accepted % 1000 === 0) await commitPieces();
    }
  } catch (error) {
    if (!(error instanceof IngestError)) throw error;
    failure = new IngestError(error.status, `line ${line}: ${error.message}`);
  } finally {
    store.commit();
  }
  await store.whenDurable();
  return { accepted, ...(failure !== undefined && { error: failure }) };
}
