/** A data directory is one worker's of one application: what is remembered in it, and what is refused. */
import { NxError } from "../../core/errors.ts";
import type { StateLog } from "../checkpoint/state-log.ts";
import type { Place } from "./messages.ts";

/** What a worker remembers of its cluster between two lives. */
export interface Remembered {
  app: string | undefined;
  name: string;
  incarnation: number;
  epoch: number;
  leader: string;
  places: Place[];
}

/** Throws NX_STREAM_REFUSED when the directory is another worker's, or of another application. */
export function assertOwner(
  dataDir: string,
  { app, name }: Pick<Remembered, "app" | "name">,
  own: { app: string; name: string },
): void {
  if (app === undefined || app === "" || (app === own.app && name === own.name)) return;
  throw new NxError(
    "NX_STREAM_REFUSED",
    `${dataDir} is of the worker ${name} of "${app}", not of ${own.name} of "${own.app}"`,
    { hint: "give each worker a directory of its own; nothing was changed" },
  );
}

/** Throws NX_STREAM_REFUSED when the log has states that the application has no step for. */
export function assertSteps({ unknownSteps }: Pick<StateLog, "unknownSteps">): void {
  const [unknown] = unknownSteps;
  if (unknown === undefined) return;
  throw new NxError(
    "NX_STREAM_REFUSED",
    `the state log has states of a step "${unknown}" that the application does not have`,
    { hint: "run the application that wrote it, or begin with another data directory" },
  );
}
