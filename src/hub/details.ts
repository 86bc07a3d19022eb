/**
 * What the hub hands on of a role's own figures: all of it, but bounded.
 *
 * Invariant: whatever an instance says, a page gets a few hundred entries of a list and a few levels of nesting.
 */
import type { Watched } from "../core/watch/watched.ts";
import { isRecord } from "../core/watch/answer-shape.ts";
import { familyOfRole, type Detail, type Family } from "./messages.ts";

const LIST_MAX = 300;
const KEYS_MAX = 200;
const TEXT_MAX = 500;
const DEPTH_MAX = 6;

/** The value with long lists, objects and texts cut, and nesting ended. */
export function bounded(value: unknown, depth = 0): unknown {
  if (typeof value === "string") return value.slice(0, TEXT_MAX);
  if (Array.isArray(value))
    return depth >= DEPTH_MAX ? [] : value.slice(0, LIST_MAX).map((each) => bounded(each, depth + 1));
  if (!isRecord(value)) return value;
  if (depth >= DEPTH_MAX) return {};
  const entries = Object.entries(value).slice(0, KEYS_MAX);
  return Object.fromEntries(entries.map(([key, each]) => [key, bounded(each, depth + 1)]));
}

export function detailOf({ identity, snapshot, latest }: Watched): Detail {
  const own = bounded(latest?.answer.own ?? {}) as Record<string, unknown>;
  return { instance: identity.name, role: snapshot.role ?? "", own };
}

export function detailsOf(watched: readonly Watched[], family: Family): Detail[] {
  return watched
    .filter(({ snapshot }) => familyOfRole[snapshot.role ?? ""] === family)
    .map((each) => detailOf(each));
}
