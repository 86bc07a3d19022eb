/** Where in an application's file an error was thrown, for its author; "" for applications that come along. */
export function thrownAt({ stack = "" }: Error): string {
  const place = /^\s+at (?:[^(]*\()?(\/[^()\s]+:\d+:\d+)\)?$/m.exec(stack)?.[1];
  return place === undefined ? "" : ` (${place})`;
}
