/**
 * Command scripts for comparison with redis-server: one command per line, words in shell style ("…" as in
 * JSON). A line may begin with a connection number and a colon; connections live for the script.
 */
import { recordScripts } from "./scripts-records.ts";
import { sessionScripts } from "./scripts-sessions.ts";

export const scripts: Record<string, string> = { ...recordScripts, ...sessionScripts };

/** Words of a script line. */
export function words(line: string): string[] {
  const found = line.match(/"(?:[^"\\]|\\.)*"|'[^']*'|\S+/g) ?? [];
  return found.map((word) => {
    if (word.startsWith('"')) return JSON.parse(word) as string;
    return word.startsWith("'") ? word.slice(1, -1) : word;
  });
}

export interface Step {
  connection: number;
  words: string[];
}

export function steps(script: string): Step[] {
  const lines = script
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
  return lines.map((line) => {
    const [, number, rest] = /^(?:(\d): )?(.*)$/.exec(line) ?? [];
    return { connection: Number(number ?? 1), words: words(rest ?? "") };
  });
}
