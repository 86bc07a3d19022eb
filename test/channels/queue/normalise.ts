/** What may differ between redis-server and a queue node, and why; beside wire/resp/normalise.ts. */
import { normalise } from "../wire/resp/normalise.ts";

const shape = (text: string) => text.replace(/(radix-tree-(?:keys|nodes)\r\n):\d+/g, "$1:N");
const times = (text: string) =>
  text.replace(/:1[67]\d{11}\r\n/g, ":T\r\n").replace(/(\$4\r\nidle\r\n):\d+/g, "$1:N");
/** Of each line of an extended XPENDING: idle time, then deliveries. */
const idle = (text: string) =>
  text.replace(/(\*4\r\n\$\d+\r\n[\d-]+\r\n\$\d+\r\n\w+\r\n):\d+\r\n:/g, "$1:N\r\n:");

export function normaliseQueue(words: string[], reply: Buffer): string {
  const name = (words[0] ?? "").toLowerCase();
  const text = normalise(words, reply);
  // The tree that Redis keeps a stream in has a shape; moments differ by milliseconds.
  if (name === "xinfo" || name === "exec") return times(shape(idle(text)));
  return name === "xpending" ? idle(text) : text;
}
