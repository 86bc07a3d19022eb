/**
 * A macro: the text of a source file, put into the program when it is built.
 *
 * For files that are modules of the program too, which a text import cannot have twice. Used as
 * `import { embedText } from "…/embed-text.ts" with { type: "macro" }`, with a literal path relative to src/.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";

export function embedText(path: string): string {
  return readFileSync(join(import.meta.dir, "..", path), "utf8");
}
