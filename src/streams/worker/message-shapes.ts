/**
 * What may come to a control port, field by field: whoever connects there is a stranger until its proof was looked at, and
 * what a member says of itself goes on to all others.
 *
 * Invariant: what `readToLeader` returns has the types that messages.ts says; anything else throws a WireError, which costs
 * the connection.
 */
import { z } from "zod";
import { WireError } from "../wire/bytes.ts";
import { isHostPort } from "./addresses.ts";
import { type LeaderNews, type ToLeader, WORKER_NAME } from "./messages.ts";

const WORDS_LENGTH_MAX = 1000;
const number = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const words = z.string().max(WORDS_LENGTH_MAX);
const name = z.string().regex(WORKER_NAME);
const address = words.refine(isHostPort);
const position = number.nullable();
const streams = z.array(
  z.object({ source: words, stream: words, seen: position, acked: position, isHeld: z.boolean() }),
);

const shapes = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("hello"),
    ...{ name, incarnation: number, life: number, plan: words, epoch: number },
    ...{ committed: number, prepared: number, joining: number, hasSources: z.boolean(), proof: words },
    place: z.object({
      ...{ name, control: address, data: address },
      sources: z.record(words, address).optional(),
    }),
  }),
  z.object({ type: z.literal("leaderAt"), control: address, proof: words }),
  z.object({ type: z.literal("ready"), epoch: number, streams }),
  z.object({ type: z.literal("streamWanted"), epoch: number, source: words, stream: words }),
  z.object({ type: z.literal("streams"), epoch: number, reports: streams }),
  z.object({ type: z.literal("prepared"), epoch: number, checkpoint: number }),
  z.object({ type: z.literal("aborted"), epoch: number, checkpoint: number, reason: words }),
  z.object({ type: z.literal("checkpointWanted") }),
  z.object({ type: z.literal("stopWanted") }),
  z.object({ type: z.literal("shrink"), names: z.array(name) }),
  z.object({ type: z.literal("ping"), keys: z.record(words, number) }),
]);

export function readToLeader(message: unknown): ToLeader | LeaderNews {
  const { success, data, error } = shapes.safeParse(message);
  if (success) return data as ToLeader | LeaderNews;
  const [issue] = error.issues;
  throw new WireError(
    `it is no message to a leader: ${issue?.path.join(".") || "all of it"}: ${issue?.message}`,
  );
}
