/**
 * Recorded conversations with the original nodes (test/vectors/swarm/README.md), as steps to play against ours.
 *
 * `1> fields ; text` is sent on connection 1, `1< fields ; text` is what came back; `{78*5}` is byte 78 five times, `@file`
 * that file's content.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";

export const vectors = join(import.meta.dir, "../../../vectors/swarm");

export interface Step {
  connection: string;
  kind: "send" | "receive" | "closed by node" | "nothing";
  bytes: Buffer;
  text: string;
}

function bytesOf(field: string): Buffer {
  const run = /^\{([0-9a-f]{2})\*(\d+)\}$/.exec(field);
  if (run !== null) return Buffer.alloc(Number(run[2]), Number.parseInt(run[1] as string, 16));
  if (field.startsWith("@")) return readFileSync(join(vectors, field.slice(1)));
  return Buffer.from(field, "hex");
}

export function readConversation(name: string): Step[] {
  const steps: Step[] = [];
  for (const line of readFileSync(join(vectors, `${name}.txt`), "utf8").split("\n")) {
    const exchange = /^(\w+)([<>]) (.*)$/.exec(line);
    if (exchange !== null) {
      const [, connection = "", arrow, rest = ""] = exchange;
      const [fields = "", ...text] = rest.split(" ; ");
      const bytes = Buffer.concat(fields.split(";")[0]?.trim().split(/\s+/).map(bytesOf) ?? []);
      steps.push({
        connection,
        kind: arrow === ">" ? "send" : "receive",
        bytes,
        text: text.join(" ; ").trim(),
      });
      continue;
    }
    const closed = /^-- connection (\w+) closed by node/.exec(line);
    if (closed !== null) {
      const connection = closed[1] as string;
      steps.push({ connection, kind: "closed by node", bytes: Buffer.alloc(0), text: line });
      continue;
    }
    const silent = /^-- (?:nothing on connection (\w+)|connection (\w+): nothing)/.exec(line);
    if (silent !== null) {
      const connection = (silent[1] ?? silent[2]) as string;
      steps.push({ connection, kind: "nothing", bytes: Buffer.alloc(0), text: line });
    }
  }
  return steps;
}
