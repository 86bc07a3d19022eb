/**
 * What a reload may change.
 *
 * Invariant: a reload is whole or not at all. When any changed key needs a restart, nothing is applied and
 * the error shows each such key with its old and new value.
 */
import { NxError } from "../errors.ts";
import { configKeys } from "./keys.ts";
import type { LoadedConfig } from "./load.ts";
import { originText, type Origin } from "./origin.ts";
import { valueAt } from "./validate.ts";

export interface ConfigChange {
  key: string;
  from: unknown;
  to: unknown;
  /** Where the next value comes from. */
  origin: Origin;
}

export interface ReloadPlan {
  /** Keys that a running instance can change. */
  applicable: ConfigChange[];
  /** Keys that only a restart can change. */
  refused: ConfigChange[];
}

/**
 * Compares two configurations of one instance. `reloadable` holds key names; a group's name covers its
 * members.
 */
export function planReload(old: LoadedConfig, next: LoadedConfig, reloadable: readonly string[]): ReloadPlan {
  const plan: ReloadPlan = { applicable: [], refused: [] };
  const isReloadable = (name: string) =>
    reloadable.some((known) => name === known || name.startsWith(`${known}.`));
  for (const key of configKeys(next.schema)) {
    if (key.isGroup) continue;
    const from = valueAt(old.config, key.path);
    const to = valueAt(next.config, key.path);
    if (Bun.deepEquals(from, to)) continue;
    const change = { key: key.name, from, to, origin: next.origins.exact(key.path) };
    (isReloadable(key.name) ? plan.applicable : plan.refused).push(change);
  }
  return plan;
}

/** Like `planReload`, but throws NX_CONFIG_NOT_RELOADABLE with a line per refused key. */
export function assertReloadable(
  old: LoadedConfig,
  next: LoadedConfig,
  reloadable: readonly string[],
): ConfigChange[] {
  const plan = planReload(old, next, reloadable);
  if (plan.refused.length === 0) return plan.applicable;
  throw new NxError("NX_CONFIG_NOT_RELOADABLE", plan.refused.map(changeText).join("\n"), {
    hint: "restart the instance to apply these keys, or change them back; nothing was applied",
  });
}

/** `log.level: "info" -> "warn" (configs/dht.json:4:12)` */
export function changeText(change: ConfigChange): string {
  const text = (value: unknown) => (value === undefined ? "(unset)" : JSON.stringify(value));
  return `${change.key}: ${text(change.from)} -> ${text(change.to)} (${originText(change.origin)})`;
}
