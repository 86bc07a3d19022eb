/** The keys of a queue node whose log is a JetStream stream. Only declarations. */
import { z } from "zod";
import { type CrossCheck, integer, key } from "../../core/config/schema.ts";
import { natsChecks, natsKeys } from "../../core/nats/keys.ts";

const jetstreamKeys = z.strictObject({
  ...natsKeys,
  stream: key(
    z
      .string()
      .regex(/^[A-Za-z0-9_-]{1,64}$/)
      .meta({ wanted: "1 to 64 letters, digits, dashes or underscores" })
      .default("node-x-queue"),
    "Name of the stream, and the first word of its subjects. One node has it at a time; others with the same name stand by. It is made when it is missing.",
  ),
  replicas: key(
    integer(1, { min: 1, max: 5 }),
    "Servers that have a copy. With 3 one may be lost, with 5 two. An existing stream that has fewer is refused.",
  ),
  bytesMax: key(
    integer(0, { min: 0 }),
    "What the stream may take on each server, when it is made; at this size writes are refused until the limit is raised. A compaction needs room for a snapshot beside the log: three times what the channels hold. 0: the servers' own limit.",
  ),
});

export type JetStreamConfig = z.output<typeof jetstreamKeys>;

export const engineKey = key(
  z
    .strictObject({
      jetstream: key(
        jetstreamKeys.optional(),
        "Acknowledged records are in a replicated JetStream stream: clients are answered after its acknowledgement, and a node on another host can take over.",
        { absent: "acknowledged records are in the append log, in files of `dataDir`" },
      ),
    })
    .optional(),
  "What keeps acknowledged records, where it is not node-x's own log.",
  { absent: "acknowledged records are in the append log, in files of `dataDir`" },
);

/** What has to hold between keys of the engine. */
export const engineChecks: readonly CrossCheck[] = [
  ...natsChecks(["engine", "jetstream"]),
  {
    path: ["durability"],
    wanted: '"log" beside engine.jetstream, which acknowledges what its stream has',
    holds(value) {
      const { engine, durability } = value as { engine?: { jetstream?: unknown }; durability?: string };
      return engine?.jetstream === undefined || durability === "log";
    },
  },
  {
    path: ["engine", "jetstream", "replicas"],
    wanted: "an odd number: an even one survives no more failures than the one below it",
    holds(value) {
      const { engine } = value as { engine?: { jetstream?: JetStreamConfig } };
      return engine?.jetstream === undefined || engine.jetstream.replicas % 2 === 1;
    },
  },
];
