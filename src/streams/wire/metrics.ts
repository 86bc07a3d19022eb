/**
 * The metrics protocol: workers tell a hub what they measured, over TCP, by default to port 5001.
 *
 * Each message is a frame (frame.ts); `string` is a u32 length and so many bytes.
 *
 *   type  body behind the u8 type
 *      1  connect
 *      2  join: string topic (`metrics:<application>`), string worker
 *      3  payload: string event (`metrics`), string topic, string data
 *
 * Data of a payload:
 *
 *   u32     bytes that follow up to the histogram; the original writes another number, so it is not looked at
 *   string  name: `pipeline@worker:computation`, `pipeline@worker` or `pipeline*worker`
 *   string  category: computation, start-to-end, node-ingress-egress, pipeline-ingestion
 *   string  worker
 *   string  pipeline
 *   u16     place of the computation in its pipeline
 *   65 x u64  histogram: bin i counts the samples that need i bits, 2^(i-1) to 2^i - 1 nanoseconds
 *   u64     shortest sample, ns      u64  longest sample, ns
 *   u64     period, ns               u64  end of the period, ns since 1970
 *
 * Invariant: a message is read to its last byte or refused.
 */
import { ByteReader, ByteWriter, WireError } from "./bytes.ts";

export const METRICS_PORT = 5001;
export const METRICS_BODY_BYTES_MAX = 64 * 1024;
export const HISTOGRAM_BINS = 65;
export const PERIOD_NS = 2_000_000_000;

export const metricCategories = [
  "computation",
  "start-to-end",
  "node-ingress-egress",
  "pipeline-ingestion",
] as const;
export type MetricCategory = (typeof metricCategories)[number];

/** What one reporter measured during one period. */
export interface MetricsEntry {
  name: string;
  category: MetricCategory;
  worker: string;
  pipeline: string;
  id: number;
  /** `HISTOGRAM_BINS` counts. */
  histogram: number[];
  minNs: number;
  maxNs: number;
  periodNs: number;
  periodEndNs: bigint;
}

export type MetricsMessage =
  | { type: "connect" }
  | { type: "join"; topic: string; worker: string }
  | { type: "payload"; event: string; topic: string; entry: MetricsEntry };

const Type = { connect: 1, join: 2, payload: 3 } as const;

/** The bin of a sample: how many bits its nanoseconds need. */
export function binOf(ns: number): number {
  if (ns >= TWO_32) return 64 - Math.clz32(ns / TWO_32);
  return ns < 1 ? 0 : 32 - Math.clz32(ns);
}

const TWO_32 = 0x1_0000_0000;

export function metricsFrame(message: MetricsMessage): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter(1024);
  return writer
    .frame(() => {
      writer.u8(Type[message.type]);
      if (message.type === "join") writer.text(message.topic).text(message.worker);
      if (message.type !== "payload") return;
      writer.text(message.event).text(message.topic);
      writer.frame(() => writeEntry(writer, message.entry));
    })
    .done();
}

function writeEntry(writer: ByteWriter, entry: MetricsEntry): void {
  writer.frame(() => {
    writer.text(entry.name).text(entry.category).text(entry.worker).text(entry.pipeline).u16(entry.id);
  });
  for (let bin = 0; bin < HISTOGRAM_BINS; bin++) writer.u64(entry.histogram[bin] ?? 0);
  writer.u64(entry.minNs).u64(entry.maxNs).u64(entry.periodNs).big(entry.periodEndNs);
}

/** Reads a frame's body. Throws WireError. */
export function readMetrics(bytes: Uint8Array, start = 0, end = bytes.byteLength): MetricsMessage {
  const reader = new ByteReader(bytes, start, end);
  const message = readBody(reader);
  reader.end();
  return message;
}

function readBody(reader: ByteReader): MetricsMessage {
  const type = reader.u8();
  switch (type) {
    case Type.connect:
      return { type: "connect" };
    case Type.join:
      return { type: "join", topic: reader.text(), worker: reader.text() };
    case Type.payload: {
      const [event, topic] = [reader.text(), reader.text()];
      const data = new ByteReader(reader.bytes());
      const entry = readEntry(data);
      data.end();
      return { type: "payload", event, topic, entry };
    }
    default:
      throw new WireError(`there is no metrics message of type ${type}`);
  }
}

function readEntry(reader: ByteReader): MetricsEntry {
  reader.u32();
  return {
    name: reader.text(),
    category: readCategory(reader.text()),
    worker: reader.text(),
    pipeline: reader.text(),
    id: reader.u16(),
    histogram: Array.from({ length: HISTOGRAM_BINS }, () => reader.u64()),
    minNs: readNs(reader),
    maxNs: readNs(reader),
    periodNs: reader.u64(),
    periodEndNs: reader.big(),
  };
}

/** The original tells 2^64-1 as the shortest of no samples. */
function readNs(reader: ByteReader): number {
  const ns = reader.big();
  return ns > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(ns);
}

function readCategory(text: string): MetricCategory {
  const category = metricCategories.find((name) => name === text);
  if (category === undefined) throw new WireError(`there is no category ${JSON.stringify(text)}`);
  return category;
}
