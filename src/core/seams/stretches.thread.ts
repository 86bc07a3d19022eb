/** The thread that copies stretches of files, so that no disk is waited for on the event loop (file-pair.ts). */
import { copyStretches } from "../../native/stretches.ts";
import { serveCalls } from "../threads/thread-calls.ts";

export interface CopyRequest {
  from: number;
  to: number;
  stretches: Uint8Array;
}

serveCalls(({ from, to, stretches }: CopyRequest) => ({ reply: copyStretches(from, to, stretches) }));
