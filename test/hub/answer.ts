/** An answer to `/stats`, as an instance gives it. */
import { parseAnswer, type Answer } from "../../src/core/watch/answer.ts";

export function answer(over: Record<string, unknown> = {}): Answer {
  const role = typeof over.role === "string" ? over.role : "dht";
  const found = parseAnswer({
    instance: "p.dht0",
    role,
    version: "1",
    commit: "abc",
    pid: 10,
    state: "ready",
    ready: true,
    reasons: [],
    uptimeSeconds: 100,
    ports: {},
    keyFigure: "",
    process: { rssBytes: 5, cpuUserSeconds: 1, cpuSystemSeconds: 1, eventLoopLagSeconds: 0.001 },
    throughput: { total: 100, unit: "requests" },
    [role]: { records: 7, commandsTotal: 100 },
    ...over,
  });
  if (found === undefined) throw new Error("no answer");
  return found;
}
