/** What an application threw, for its author. */

/** Anything may be thrown, also what is no text. */
export function messageOf(thrown: unknown): string {
  if (thrown instanceof Error) return thrown.message;
  try {
    return String(thrown);
  } catch {
    return `an object that is no error (${typeof thrown})`;
  }
}

interface Position {
  file: string;
  line: number;
  column: number;
}

/** Where in an application's file an error was thrown, or its text is no program; "" for applications that come along. */
export function thrownAt(thrown: unknown): string {
  const { position } = (thrown ?? {}) as { position?: Position | null };
  if (position) return ` (${position.file}:${position.line}:${position.column})`;
  const stack = thrown instanceof Error ? (thrown.stack ?? "") : "";
  const place = /^\s+at (?:[^(]*\()?(\/[^()\s]+:\d+:\d+)\)?$/m.exec(stack)?.[1];
  return place === undefined ? "" : ` (${place})`;
}
