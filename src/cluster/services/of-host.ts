/** What keeps a deployment's instances running on this host. */
import { ownCommand } from "../../core/own-command.ts";
import { realClock } from "../../core/seams/clock.ts";
import { RealDisk } from "../../core/seams/disk-real.ts";
import { lockFile } from "../../native/system.ts";
import { deploymentPaths } from "../topology/layout.ts";
import type { HostServices } from "./services.ts";
import { SupervisedServices } from "./supervised.ts";

export async function servicesOfHost(
  workingDirectory: string,
  prefix: string,
  environment: Record<string, string | undefined>,
): Promise<HostServices> {
  return new SupervisedServices({
    paths: deploymentPaths(workingDirectory, prefix),
    clock: realClock,
    disk: new RealDisk(lockFile),
    supervisorCommand: [...ownCommand(), "supervise"],
    environment,
  });
}
