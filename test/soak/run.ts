/**
 * `bun run soak [name…]`: the long runs, one after the other, each with its figures and its time.
 *
 * Invariant: the exit code is 0 only when every run that was asked for found nothing wrong.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";

/** What a file of this directory exports. */
export interface Soak {
  summary: string;
  /** Returns figures for the last line; throws when something is wrong. `words` are further arguments. */
  run(words: string[]): Promise<Record<string, unknown>>;
}

const files = readdirSync(import.meta.dir).filter((name) => name.endsWith(".ts") && name !== "run.ts");
const names = files.map((name) => name.slice(0, -3)).sort();
const [wanted, ...words] = process.argv.slice(2);

const load = async (name: string) =>
  ((await import(join(import.meta.dir, `${name}.ts`))) as { soak: Soak }).soak;

if (wanted === "--help" || wanted === "list" || (wanted !== undefined && !names.includes(wanted))) {
  for (const name of names) console.log(`${name.padEnd(16)} ${(await load(name)).summary}`);
  process.exit(wanted !== undefined && wanted !== "--help" && wanted !== "list" ? 64 : 0);
}

let failed = 0;
for (const name of wanted === undefined ? names : [wanted]) {
  const start = performance.now();
  const seconds = () => `${((performance.now() - start) / 1000).toFixed(0)} s`;
  try {
    const figures = await (await load(name)).run(words);
    console.log(`${name}: passed in ${seconds()} ${JSON.stringify(figures)}`);
  } catch (error) {
    failed += 1;
    console.error(`${name}: FAILED after ${seconds()}\n${(error as Error).stack ?? String(error)}`);
  }
}
process.exit(failed === 0 ? 0 : 1);
