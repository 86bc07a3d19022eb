/** Plays a script of commands over one or more connections, so that two servers can be compared reply by reply. */
import { encode, RawClient } from "./raw.ts";
import type { Step } from "./scripts.ts";

/** A line for each step: the words and the reply, of which `normalise` takes what may differ between servers. */
export async function play(
  port: number,
  script: Step[],
  protocol: 2 | 3,
  normalise: (words: string[], reply: Buffer) => string,
): Promise<string[]> {
  const clients = new Map<number, RawClient>();
  const lines: string[] = [];
  try {
    for (const { connection, words } of script) {
      let client = clients.get(connection);
      if (client === undefined) {
        client = await RawClient.connect(port);
        if (clients.size === 0) await client.command("FLUSHALL");
        clients.set(connection, client);
        if (protocol === 3) await client.command("HELLO", "3");
      }
      client.send(encode(words));
      const [reply] = await client.replies(1);
      const answer = reply === undefined ? "(closed)" : normalise(words, reply);
      lines.push(`${words.map((word) => JSON.stringify(word)).join(" ")} -> ${JSON.stringify(answer)}`);
    }
  } finally {
    for (const client of clients.values()) await client[Symbol.asyncDispose]();
  }
  return lines;
}
