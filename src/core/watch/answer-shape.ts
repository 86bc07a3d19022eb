/** Telling objects from everything else, for whoever reads what came from elsewhere; runs in browsers, too. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
