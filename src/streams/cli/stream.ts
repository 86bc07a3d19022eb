/** `node-x stream`: tools for stateful streams. One line for each; every tool has a file of its own. */
import { defineVerb } from "../../core/verb.ts";

export const streamVerb = defineVerb({
  name: "stream",
  summary: "Write stream applications, run them, send to them, judge what came out",
  examples: [
    {
      command: "node-x stream send 127.0.0.1:7000 --until 1000",
      shows: "Send 1000 values of each of 11 keys, until a checkpoint holds them",
    },
    {
      command: "node-x stream verify received.txt --expect 1000 --keys 11",
      shows: "Judge what a stream made of them",
    },
  ],
  subVerbs: {
    send: async () => (await import("./send.ts")).sendVerb,
    receive: async () => (await import("./receive.ts")).receiveVerb,
    verify: async () => (await import("./verify.ts")).verifyVerb,
    demo: async () => (await import("./demo.ts")).demoVerb,
    restore: async () => (await import("./restore.ts")).restoreVerb,
    init: async () => (await import("./init.ts")).initVerb,
    status: async () => (await import("./admin.ts")).statusVerb,
    keys: async () => (await import("./admin.ts")).keysVerb,
    sources: async () => (await import("./admin.ts")).sourcesVerb,
    checkpoint: async () => (await import("./admin.ts")).checkpointVerb,
    rotate: async () => (await import("./admin.ts")).rotateVerb,
    shrink: async () => (await import("./admin.ts")).shrinkVerb,
    stop: async () => (await import("./admin.ts")).stopVerb,
  },
});
