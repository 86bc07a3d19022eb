/** Which services a host has: systemd where it runs and we may tell it what to do, else our own supervisor. */
import { ownCommand } from "../../core/own-command.ts";
import type { Clock } from "../../core/seams/clock.ts";
import type { LinkingDisk } from "../../core/seams/disk.ts";
import { deploymentPaths } from "../topology/layout.ts";
import type { HostServices } from "./services.ts";
import { SupervisedServices } from "./supervised.ts";
import { SystemdServices, type RunProgram } from "./systemd.ts";

export interface HostServicesOptions {
  workingDirectory: string;
  prefix: string;
  clock: Clock;
  disk: LinkingDisk;
  run: RunProgram;
  isRoot: boolean;
  environment: Record<string, string | undefined>;
}

/** systemd(1) says that this directory exists exactly when it is the manager of the host. */
const SYSTEMD_RUNS = "/run/systemd/system";

export async function hostServices(options: HostServicesOptions): Promise<HostServices> {
  const { workingDirectory, prefix, clock, disk, run, isRoot, environment } = options;
  const paths = deploymentPaths(workingDirectory, prefix);
  if (isRoot && (await disk.exists(SYSTEMD_RUNS)))
    return new SystemdServices({
      root: paths.root,
      clock,
      disk,
      run,
      unitDirectory: "/etc/systemd/system",
      sysusersDirectory: "/etc/sysusers.d",
    });
  return new SupervisedServices({
    paths,
    clock,
    disk,
    supervisorCommand: [...ownCommand(), "supervise"],
    environment,
  });
}
