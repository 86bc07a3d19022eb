/**
 * The pairs of stats.log about requests and about what was done to records, with the names of the originals
 * (swarm.md 10.3): `request/Get/handled:12 request/Get/mean_handled_time_micros:3 … action/read/records:12 …`.
 *
 * Counters are those of the period: each call reports what came since the one before. A kind of request that was never
 * used since the start is left out, so that lines stay readable; the mean is 0 where nothing was handled.
 */
import {
  type ActionKind,
  actionKinds,
  Figure,
  figureClasses,
  type FiguresView,
} from "../native/request-figures.ts";

const classNames = ["10_micros", "100_micros", "1_ms", "10_ms", "100_ms", "over_100_ms"] as const;

/** Figures of one engine. `names`: its requests by name. */
export interface RequestSource {
  prefix: "request" | "neo_request";
  names: Readonly<Record<string, number>>;
  view: FiguresView;
}

interface Action {
  records: number;
  bytes: number;
}

/** By kind: how many records since the start, and the bytes of their values. */
export type Actions = Readonly<Record<string, () => Action>>;

export class RequestLines {
  readonly #sources: readonly RequestSource[];
  readonly #actions: Actions;
  readonly #kinds = new Map<string, Float64Array>();
  readonly #before = new Map<string, Action>();

  /** `actions`: what this kind of node does to records; without them what the sources count. */
  constructor(sources: readonly RequestSource[], actions: Actions = actionsOf(sources)) {
    this.#sources = sources;
    this.#actions = actions;
  }

  next(): [string, number][] {
    if (this.#sources.length === 0) return [];
    return [
      // Each request is known in one version.
      ["old_request_versions_in_use", 0],
      ...this.#sources.flatMap((source) => this.#requests(source)),
      ...this.#allActions(),
    ];
  }

  #requests({ prefix, names, view }: RequestSource): [string, number][] {
    const pairs: [string, number][] = [];
    for (const [name, code] of Object.entries(names)) {
      const figures = view.kind(code);
      if (figures[Figure.handled] === 0 && figures[Figure.activeMax] === 0) continue;
      const key = `${prefix}/${name}`;
      const before = this.#kinds.get(key) ?? new Float64Array(Figure.length);
      const since = (place: number) => (figures[place] as number) - (before[place] as number);
      const handled = since(Figure.handled);
      const mean = handled === 0 ? 0 : Math.round(since(Figure.microseconds) / handled);
      pairs.push(
        [`${key}/max_active`, figures[Figure.activeMax] as number],
        [`${key}/handled`, handled],
        [`${key}/mean_handled_time_micros`, mean],
      );
      for (let index = 0; index < figureClasses; index++)
        pairs.push([`${key}/handled_${classNames[index] as string}`, since(Figure.classes + index)]);
      this.#kinds.set(key, figures.slice());
      figures[Figure.activeMax] = figures[Figure.active] as number;
    }
    return pairs;
  }

  #allActions(): [string, number][] {
    return Object.entries(this.#actions).flatMap(([kind, total]) => {
      const now = total();
      const before = this.#before.get(kind) ?? { records: 0, bytes: 0 };
      this.#before.set(kind, now);
      const pairs: [string, number][] = [
        [`action/${kind}/records`, now.records - before.records],
        [`action/${kind}/bytes`, now.bytes - before.bytes],
      ];
      return pairs;
    });
  }
}

/** The sum of one action over all engines. */
export function totalOf(sources: readonly RequestSource[], kind: ActionKind): Action {
  const actions = sources.map(({ view }) => view.action(kind));
  return {
    records: actions.reduce((sum, { records }) => sum + records, 0),
    bytes: actions.reduce((sum, { bytes }) => sum + bytes, 0),
  };
}

function actionsOf(sources: readonly RequestSource[]): Actions {
  return Object.fromEntries(actionKinds.map((kind) => [kind, () => totalOf(sources, kind)]));
}
