/** Asks a person; nobody at a terminal is a no, and told how to say yes beforehand. */
import type { Surroundings } from "../verb.ts";

export async function confirm(
  question: string,
  { stderr, stdin }: Pick<Surroundings, "stderr" | "stdin">,
): Promise<boolean> {
  if (!stderr.isTty || stdin === undefined) {
    stderr.write(`${question}: nobody to ask here\n`);
    return false;
  }
  stderr.write(`${question} [y/N] `);
  let answer = "";
  const decoder = new TextDecoder();
  for await (const chunk of stdin()) {
    answer += decoder.decode(chunk, { stream: true });
    if (answer.includes("\n")) break;
  }
  return /^y(es)?\s*$/i.test(answer.split("\n", 1)[0] ?? "");
}
