/**
 * The names that Diamond's scripts look for: `<working directory>/output.backend.0.1.txt` leads to the file in the deployment.
 *
 * A name that is there already, another deployment's for instance, is left alone; only our own link is ever removed.
 */
import { basename, join, relative } from "node:path";
import type { LinkingDisk } from "../../core/seams/disk.ts";
import type { ServiceSpec } from "./services.ts";

type Output = Pick<ServiceSpec, "outputFile" | "workingDirectory">;

const linkOf = ({ outputFile, workingDirectory }: Output) => join(workingDirectory, basename(outputFile));
const targetOf = ({ outputFile, workingDirectory }: Output) => relative(workingDirectory, outputFile);

export async function linkOutput(disk: LinkingDisk, output: Output): Promise<void> {
  const link = linkOf(output);
  if (link === output.outputFile || (await currentTarget(disk, link)) !== undefined) return;
  if (await disk.exists(link)) return;
  await disk.symlink(targetOf(output), link);
}

export async function unlinkOutput(disk: LinkingDisk, output: Output): Promise<void> {
  const link = linkOf(output);
  if ((await currentTarget(disk, link)) === targetOf(output)) await disk.remove(link);
}

async function currentTarget(disk: LinkingDisk, link: string): Promise<string | undefined> {
  return await disk.readLink(link).catch(() => undefined);
}
