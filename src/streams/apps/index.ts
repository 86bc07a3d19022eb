/** The applications that come along: run by name, and their texts are samples to begin with. */
import type { App } from "../api/contract.ts";

export const builtInApps: Record<string, () => Promise<App>> = {
  detector: async () => (await import("./detector.ts")).default,
  "market-spread": async () => (await import("./market-spread.ts")).default,
  passthrough: async () => (await import("./passthrough.ts")).default,
  "sequence-window": async () => (await import("./sequence-window.ts")).default,
  "word-count": async () => (await import("./word-count.ts")).default,
};
