/** What is not well with a worker that runs, in sentences for operators. */
import type { Worker } from "./worker.ts";

/** Why checkpoints wait for the disk, while they do: of the state log and of the logs of inputs. */
export function diskTroubles({ stateLog, sources }: Pick<Worker, "stateLog" | "sources">): string[] {
  const troubles = [stateLog.trouble, ...sources.map(({ diskTrouble }) => diskTrouble)];
  return troubles.flatMap((trouble) => (trouble === undefined ? [] : [`checkpoints wait: ${trouble}`]));
}

/** The same, and what is away: replicas, sinks, sources. */
export function troublesOf(worker: Pick<Worker, "stateLog" | "sources" | "sinks">): string[] {
  const ends = [...worker.sources, ...worker.sinks].flatMap((end) => {
    const { trouble } = end.stats();
    return typeof trouble === "string" && trouble !== "" ? [`${end.name}: ${trouble}`] : [];
  });
  return [...diskTroubles(worker), ...worker.stateLog.mirrorTroubles, ...ends];
}
