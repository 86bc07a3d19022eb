/**
 * What an instance answers on `/stats`, as far as those who watch it rely on it.
 *
 * Invariant: an answer is checked before it is believed: an instance may be of another version, or no instance at all.
 */
import { z } from "zod";
import { isRecord } from "./answer-shape.ts";

const answer = z.object({
  instance: z.string(),
  role: z.string(),
  version: z.string(),
  commit: z.string().optional(),
  pid: z.number().optional(),
  state: z.string(),
  ready: z.boolean(),
  reasons: z.array(z.string()),
  uptimeSeconds: z.number(),
  ports: z.record(z.string(), z.number()),
  keyFigure: z.string(),
  process: z.looseObject({ rssBytes: z.number(), cpuUserSeconds: z.number(), cpuSystemSeconds: z.number() }),
  throughput: z.object({ total: z.number(), unit: z.string() }).nullish(),
});

export interface Answer extends z.output<typeof answer> {
  /** The role's own figures, whatever they are. */
  own: Record<string, unknown>;
}

/** The answer in a value that came from elsewhere; undefined when it is none. */
export function parseAnswer(value: unknown): Answer | undefined {
  const parsed = answer.safeParse(value);
  if (!parsed.success) return undefined;
  const own = (value as Record<string, unknown>)[parsed.data.role];
  return { ...parsed.data, own: isRecord(own) ? own : {} };
}
