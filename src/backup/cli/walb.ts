/** `node-x walb`: everything for WalB's files and servers that is not a server. */
import { defineVerb } from "../../core/verb.ts";
import { controllerVerbs } from "./controller.ts";

export const walbVerb = defineVerb({
  name: "walb",
  summary: "Tools for block-volume backup: logs, diffs, images, and the controller of WalB's servers",
  examples: [
    { command: "node-x walb demo", shows: "See a volume backed up, damaged and restored" },
    { command: "node-x walb wlog to-wdiff -i volume.wlog -o volume.wdiff", shows: "Make a diff of a log" },
    {
      command: "node-x walb virt-full -i base.img -d 1.wdiff 2.wdiff -o restored.img",
      shows: "Restore a point in time",
    },
  ],
  subVerbs: {
    wlog: async () => (await import("./wlog.ts")).wlogVerb,
    wdiff: async () => (await import("./wdiff.ts")).wdiffVerb,
    bdiff: async () => (await import("./image-tools.ts")).bdiffVerb,
    "virt-full": async () => (await import("./image-tools.ts")).virtFullVerb,
    verify: async () => (await import("./verify.ts")).verifyVerb,
    script: async () => (await import("./script.ts")).scriptVerb,
    shell: async () => (await import("./script.ts")).shellVerb,
    bucket: async () => (await import("./bucket.ts")).bucketVerb,
    volume: async () => (await import("./volume.ts")).volumeVerb,
    worker: async () => (await import("./worker.ts")).workerVerb,
    demo: async () => (await import("./demo.ts")).demoVerb,
    ...controllerVerbs,
    ldev: async () => (await import("./image-tools.ts")).ldevVerb,
  },
});
