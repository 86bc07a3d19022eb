/** Why checkpoints wait for the disk, while they do: of the state log and of the logs of inputs. */
import type { Worker } from "./worker.ts";

export function diskTroubles({ stateLog, sources }: Pick<Worker, "stateLog" | "sources">): string[] {
  const troubles = [stateLog.trouble, ...sources.map(({ diskTrouble }) => diskTrouble)];
  return troubles.flatMap((trouble) => (trouble === undefined ? [] : [`checkpoints wait: ${trouble}`]));
}
