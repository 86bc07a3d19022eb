/** The applications that come along: run by name, and their texts are samples to begin with. */
import type { App } from "../api/contract.ts";

export const builtInApps: Record<string, () => Promise<App>> = {
  "word-count": async () => (await import("./word-count.ts")).default,
};
