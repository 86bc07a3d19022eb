/** The texts of the applications that come along and of the types that they are written against, for `node-x stream init`. */
import { embedText } from "../../core/embed-text.ts" with { type: "macro" };

import moduleText from "../../../dist/streams/module.js.txt" with { type: "text" };

/** The module itself, for tests of applications: the executable does not read it. */
export { moduleText };

export const contractText: string = embedText("streams/api/contract.ts");

export const appTexts: Record<string, string> = {
  detector: embedText("streams/apps/detector.ts"),
  "market-spread": embedText("streams/apps/market-spread.ts"),
  passthrough: embedText("streams/apps/passthrough.ts"),
  "sequence-window": embedText("streams/apps/sequence-window.ts"),
  "word-count": embedText("streams/apps/word-count.ts"),
};
