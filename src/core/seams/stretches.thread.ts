/** The thread that copies and writes stretches of files, so that no disk is waited for on the event loop (file-pair.ts). */
import { copyStretches, writeStretches } from "../../native/stretches.ts";
import { serveCalls } from "../threads/thread-calls.ts";

/** From a file, or from memory of C's that stays where it is until the reply. */
export interface CopyRequest {
  from: number | { address: number; length: number };
  to: number;
  stretches: Uint8Array;
}

serveCalls(({ from, to, stretches }: CopyRequest) => ({
  reply:
    typeof from === "number"
      ? copyStretches(from, to, stretches)
      : writeStretches(to, from.address, from.length, stretches),
}));
