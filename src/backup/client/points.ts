/** Points in time by the clock on the wall: which gid of a volume is the newest that is not after a moment. */
import { NxError } from "../../core/errors.ts";
import { listingTime, parsePeriod, parseTime } from "../formats/units.ts";
import type { Controller } from "./controller.ts";
import { type GidInfo, parseGidInfo } from "./group/texts.ts";

/** Seconds since 1970 of `2026-11-22T08:22:06` (UTC), the same with Z or an offset, or `-90m`: so long before `now`. */
export function parseMoment(text: string, now: number): number | undefined {
  if (text.startsWith("-")) {
    const period = parsePeriod(text.slice(1));
    return period === undefined ? undefined : now - period;
  }
  const utc = parseTime(text.replace(/Z$/, ""));
  if (utc !== undefined) return utc;
  const isWithOffset = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d$/.test(text);
  const ms = isWithOffset ? Date.parse(text) : Number.NaN;
  return Number.isNaN(ms) ? undefined : Math.floor(ms / 1000);
}

/** Throws NX_USAGE for what is no moment, NX_NOT_READY when every point is later. */
export async function pointAt(
  controller: Controller,
  volume: string,
  moment: string,
  now: number,
): Promise<GidInfo> {
  const seconds = parseMoment(moment, now);
  if (seconds === undefined)
    throw new NxError("NX_USAGE", `"${moment}" is no moment`, {
      hint: "2026-11-22T08:22:06 is UTC, 2026-11-22T09:22:06+01:00 says its offset, -90m is 90 minutes ago",
    });
  const points = ((await controller.get("restorable", volume, "all")) as string[]).map(parseGidInfo);
  const found = points.filter(({ timestamp }) => timestamp <= seconds).at(-1);
  if (found !== undefined) return found;
  const first = points[0];
  throw new NxError("NX_NOT_READY", `${volume} has no point at or before ${listingTime(seconds)}`, {
    hint: first === undefined ? "it has none yet" : `its first one is of ${listingTime(first.timestamp)}`,
  });
}
