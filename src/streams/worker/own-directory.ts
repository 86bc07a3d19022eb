/** A data directory is one worker's of one application: what is remembered in it, and what is refused. */
import { NxError } from "../../core/errors.ts";
import type { StateLog } from "../checkpoint/state-log.ts";
import type { Plan } from "../plan/plan.ts";
import type { StateStore } from "../state/store.ts";
import type { Place } from "./messages.ts";

/** What a worker remembers of its cluster between two lives. */
export interface Remembered {
  app: string | undefined;
  name: string;
  incarnation: number;
  epoch: number;
  leader: string;
  places: Place[];
  /** By step: how its states are laid out. */
  shapes: Record<string, string>;
}

/** How the states of each step are laid out: what an application may not change under the same name. */
export function shapesOf({ states }: Pick<Plan, "states">): Record<string, string> {
  return Object.fromEntries(
    states.map((node) => {
      if (node.kind === "state") return [node.name, "a state"];
      const { spec } = node;
      if (spec.kind === "tumbling") return [node.name, `windows of ${spec.rangeMs} ms`];
      if (spec.kind === "sliding")
        return [node.name, `windows of ${spec.rangeMs} ms, each ${spec.slideMs} ms`];
      return [node.name, `${spec.kind} windows`];
    }),
  );
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

/** Throws NX_STREAM_REFUSED when states would be read as something else than what was written. */
export function assertShapes(
  before: Readonly<Record<string, string>>,
  now: Readonly<Record<string, string>>,
  stores: readonly Pick<StateStore, "name" | "size">[],
): void {
  const changed = stores.find(({ name, size }) => size > 0 && (before[name] ?? now[name]) !== now[name]);
  if (changed === undefined) return;
  const { name } = changed;
  throw new NxError(
    "NX_STREAM_REFUSED",
    `the step "${name}" has ${now[name]}, and the state log has ${before[name]} of it`,
    { hint: "run the application that wrote them, or begin anew with --fresh" },
  );
}
