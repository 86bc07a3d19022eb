/** Which services a host has: systemd where it runs and we may tell it what to do, else our own supervisor. */
import { ownCommand } from "../../core/own-command.ts";
import { realClock } from "../../core/seams/clock.ts";
import { RealDisk } from "../../core/seams/disk-real.ts";
import { lockFile } from "../../native/system.ts";
import { deploymentPaths } from "../topology/layout.ts";
import type { HostServices } from "./services.ts";
import { SupervisedServices } from "./supervised.ts";
import { SystemdServices, type RunProgram } from "./systemd.ts";

/** systemd(1) says that this directory exists exactly when it is the manager of the host. */
const SYSTEMD_RUNS = "/run/systemd/system";
const ROOT_UID = 0;

export async function servicesOfHost(
  workingDirectory: string,
  prefix: string,
  environment: Record<string, string | undefined>,
  run: RunProgram,
): Promise<HostServices> {
  const paths = deploymentPaths(workingDirectory, prefix);
  const disk = new RealDisk(lockFile);
  if (process.getuid?.() === ROOT_UID && (await disk.exists(SYSTEMD_RUNS)))
    return new SystemdServices({
      root: paths.root,
      clock: realClock,
      disk,
      run,
      unitDirectory: "/etc/systemd/system",
      sysusersDirectory: "/etc/sysusers.d",
    });
  return new SupervisedServices({
    paths,
    clock: realClock,
    disk,
    supervisorCommand: [...ownCommand(), "supervise"],
    environment,
  });
}
