/** `node-x supervise`: the supervisor of a deployment, in the foreground. Started by the agent on hosts without systemd. */
import { basename, dirname, join, resolve } from "node:path";
import { Exit } from "../core/errors.ts";
import { defineVerb } from "./verb.ts";

const LOG_BYTES_MAX = 1024 * 1024;

export const superviseVerb = defineVerb({
  name: "supervise",
  summary: "Keep the instances of a deployment running, on a host without systemd",
  description:
    "`node-x start` starts it on hosts without systemd; it needs nobody's connection. Run it at boot (from cron's @reboot, say) " +
    "and what was running before is started again. SIGTERM stops all instances, the last started first.",
  args: {
    root: {
      type: "positional",
      required: true,
      description: "The deployment: <working directory>/.node-x/<prefix>",
    },
  },
  examples: [
    { command: "node-x supervise /srv/diamond/.node-x/myconfig", shows: "Start again what was running" },
  ],
  async run({ args, workingDirectory, environment }) {
    const [
      { Daemon },
      { deploymentPaths },
      { RealDisk },
      { lockFile },
      { realClock },
      { createLog, formatText, logOutput },
      { RotatingFile },
    ] = await Promise.all([
      import("../cluster/services/daemon.ts"),
      import("../cluster/topology/layout.ts"),
      import("../core/seams/disk-real.ts"),
      import("../native/system.ts"),
      import("../core/seams/clock.ts"),
      import("../core/logging/log.ts"),
      import("../core/logging/rotating-file.ts"),
    ]);
    const root = resolve(workingDirectory, args.root);
    const paths = deploymentPaths(dirname(dirname(root)), basename(root));
    const sink = new RotatingFile(join(paths.log, "supervisor.log"), {
      bytesMax: LOG_BYTES_MAX,
      filesMax: 3,
    });
    const log = createLog(realClock, "supervisor", logOutput("info", [{ sink, format: formatText }]));
    const disk = new RealDisk(lockFile);
    const daemon = await Daemon.start({ paths, clock: realClock, disk, log, environment }).catch(
      (error: Error) => {
        log.error(error.message);
        throw error;
      },
    );
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => void daemon.stop());
    // The terminal or connection that it was started from may go.
    process.on("SIGHUP", () => {});
    await daemon.ended;
    return Exit.ok;
  },
});
