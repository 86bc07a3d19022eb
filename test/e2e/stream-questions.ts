/**
 * Asks workers everything that operators may ask, again and again whatever happens to them, and keeps how long answers took
 * by the phase that they name. `/livez`, which looks at nothing, is asked beside it: what that takes is the machine's.
 */
import { join } from "node:path";
import { type AdminAnswer, adminGet } from "../../src/core/admin-client.ts";
import type { NxError } from "../../src/core/errors.ts";
import { ownCommand } from "../../src/core/own-command.ts";
import { questions } from "../../src/streams/worker/admin.ts";

const PAUSE_MS = 20;
const GIVE_UP_MS = 30_000;

export class Questions {
  readonly #slowestMs = new Map<string, number>();
  answers = 0;

  /** One worker's, until the signal. */
  async keepAsking(dataDir: string, until: AbortSignal): Promise<void> {
    for (; !until.aborted; await Bun.sleep(PAUSE_MS)) {
      let phase = "starting";
      for (const question of Object.keys(questions)) {
        const answer = await this.#ask(dataDir, `/stream/${question}`, () => phase);
        if (answer === undefined) break;
        if (question === "status" && answer.status === 200)
          ({ phase } = JSON.parse(answer.body) as { phase: string });
      }
      await this.#ask(dataDir, "/livez", () => "/livez");
    }
  }

  /** Undefined when nobody is there; who is there and does not answer has taken that long. */
  async #ask(dataDir: string, path: string, phase: () => string): Promise<AdminAnswer | undefined> {
    const startMs = performance.now();
    const tookMs = () => performance.now() - startMs;
    try {
      const answer = await adminGet(join(dataDir, "admin.sock"), path, GIVE_UP_MS);
      this.#took(phase(), tookMs());
      return answer;
    } catch (error) {
      if ((error as NxError).code !== "NX_NOT_RUNNING") throw error;
      if (tookMs() >= GIVE_UP_MS) this.#took(phase(), tookMs());
      return undefined;
    }
  }

  #took(phase: string, ms: number): void {
    this.answers += 1;
    this.#slowestMs.set(phase, Math.max(this.#slowestMs.get(phase) ?? 0, ms));
  }

  /** Of the questions, in any phase. */
  get slowest(): number {
    return Math.max(...[...this.#slowestMs].map(([phase, ms]) => (phase === "/livez" ? 0 : ms)));
  }

  get slowestText(): string {
    return [...this.#slowestMs].map(([phase, ms]) => `${phase} ${ms.toFixed(0)} ms`).join(", ");
  }
}

async function verb(...words: string[]): Promise<string> {
  const child = Bun.spawn([...ownCommand(), "stream", ...words], { stdin: "ignore", stderr: "pipe" });
  const [said, complaint] = await Promise.all(
    [child.stdout, child.stderr].map((out) => new Response(out).text()),
  );
  if ((await child.exited) !== 0) throw new Error(`stream ${words.join(" ")}: ${complaint}`);
  return said ?? "";
}

/** Asks once by the verbs, as text and as JSON. Throws when a verb fails, or the two do not speak of the same. */
export async function askByVerbs(dataDir: string): Promise<void> {
  for (const question of Object.keys(questions)) {
    const text = await verb(question, dataDir);
    const names = Object.keys(JSON.parse(await verb(question, dataDir, "--json")) as object);
    const missing = names.find((name) => !new RegExp(`^${name}[.\\t]`, "m").test(text));
    if (missing !== undefined) throw new Error(`stream ${question} does not say ${missing}: ${text}`);
  }
}
