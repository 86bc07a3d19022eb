/** The configuration of the sender role, and what it says of itself. */
import { z } from "zod";
import { parseAddress } from "../../core/config/group-file.ts";
import { crossCheck, type CrossCheck, group, integer, key, roleSchema } from "../../core/config/schema.ts";
import type { RoleAbout } from "../../core/role.ts";
import { fileForms } from "./file-feed.ts";
import { senderFlags } from "./original-flags.ts";

const DAY_MS = 24 * 60 * 60 * 1000;

function address() {
  return z
    .string()
    .refine((text) => typeof parseAddress(text) !== "string")
    .meta({ wanted: "an address with a port, such as 127.0.0.1:7000" });
}

const keys = roleSchema({
  protocol: key(
    z.enum(["acked", "raw"]).default("acked"),
    "How records are sent. acked: the connector protocol; what a worker has not acknowledged is sent again, by this process or the next one. raw: plain frames; what a worker had not read when it died is lost.",
  ),
  to: key(z.array(address()).min(1).max(16).default(["127.0.0.1:7000"]), "The worker's sources. market sends orders to the first and quotes to the second, numbers go to the first; each key of the counters and each file has a connection of its own, to these in turn."),
  feed: key(
    z.enum(["counters", "numbers", "market", "file"]).default("counters"),
    "What is sent. counters: the values from + 1 … until of each key, a connection for each key. numbers: the same values without keys. market: made-up orders and quotes. file: the records of a file.",
  ),
  counters: key(
    group({
      keys: key(integer(11, { min: 1, max: 10_000 }), "Keys key_0, key_1 …, for counters."),
      prefix: key(z.string().min(1).max(100).default("key_"), "What stands before their number."),
      from: key(integer(0, { min: 0 }), "The first value is the one behind this."),
      until: key(integer(1000, { min: 1 }), "The last value."),
      isText: key(z.boolean().default(false), "Numbers as decimal text and not as eight bytes, for numbers."),
      partition: key(z.string().max(1000).default(""), "Text behind each number, for numbers: the key of a single partition."),
    }),
    "For the feeds counters and numbers.",
  ),
  market: key(
    group({
      symbols: key(integer(350, { min: 1, max: 100_000 }), "Symbols that are traded."),
      rejectingSymbols: key(integer(15, { min: 0, max: 100_000 }), "Of those, the ones whose quotes are so far apart that their orders are rejected."),
      rejectedOneIn: key(integer(70_000, { min: 1 }), "One order in so many is for a rejecting symbol."),
      orders: key(integer(0, { min: 0 }), "Orders to send; 0: without end."),
      quotes: key(integer(0, { min: 0 }), "Quotes to send; 0: without end."),
      areQuotesFirst: key(z.boolean().default(true), "One quote for each symbol goes out before anything else, so that no order is rejected only because its symbol is unknown."),
      seed: key(integer(1, { min: 0, max: 0xffff_fff0 }), "The same seed makes the same records."),
    }),
    "For the feed market.",
  ),
  file: key(
    group({
      paths: key(z.array(z.string().min(1)).max(16).default([]), "The files; each has a connection of its own, to the source in the same place of `to`."),
      form: key(z.enum(fileForms).default("lines"), "What a record is. lines: a record a line. frames: the file holds frames. chunks: pieces of equal length, raw only."),
      chunkBytes: key(integer(80, { min: 1, max: 16_384 }), "Bytes of a piece."),
      records: key(integer(0, { min: 0 }), "Records to send of each file, from its beginning again when they run out; 0: each once."),
    }),
    "For the feed file.",
  ),
  batch: key(integer(10, { min: 1, max: 1_000_000 }), "Records that are sent in one go."),
  intervalMs: key(z.number().min(0).max(DAY_MS).default(50), "Between two batches of a connection; 0: as fast as the worker takes them."),
  reconnectMs: key(integer(250, { min: 1, max: DAY_MS }), "A broken connection is tried again after this."),
  cookie: key(z.string().max(1000).default("cookie"), "What the source wants to hear before it takes acknowledged records."),
  streamPrefix: key(z.string().max(100).default(""), "Put before the names of acknowledged streams. Another prefix is another stream, which begins anew."),
  isEndless: key(z.boolean().default(false), "Stays up when everything was sent. Otherwise the process ends then, with exit code 0."),
}); // prettier-ignore

const piecesAreRaw: CrossCheck = {
  path: ["file", "form"],
  wanted: 'lines or frames with protocol "acked": pieces without bounds cannot be acknowledged',
  holds(value) {
    const { protocol, feed, file } = value as z.output<typeof keys>;
    return !(protocol === "acked" && feed === "file" && file.form === "chunks");
  },
};

const countsUp: CrossCheck = {
  path: ["counters", "until"],
  wanted: "a value that is not before counters.from",
  holds(value) {
    const { from, until } = (value as z.output<typeof keys>).counters;
    return from <= until;
  },
};

export const senderConfig = [piecesAreRaw, countsUp].reduce(crossCheck, keys);

export type SenderConfig = z.output<typeof senderConfig>;
/** The keys that say what is sent and how, without those of an instance. */
export type SendingConfig = Pick<
  SenderConfig,
  | "protocol"
  | "to"
  | "feed"
  | "counters"
  | "market"
  | "file"
  | "batch"
  | "intervalMs"
  | "reconnectMs"
  | "cookie"
  | "streamPrefix"
>;

export const senderAbout: RoleAbout<typeof senderConfig> = {
  name: "sender",
  summary: "Sends counters, made-up orders and quotes, or files to the sources of a stream",
  durability:
    "keeps nothing; acked (default): a record is sent until a worker's checkpoint holds it; raw: at most once",
  config: senderConfig,
  reloadable: [],
  originalFlags: senderFlags,
};
