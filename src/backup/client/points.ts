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
  const [, local = "", sign, hours = "0", minutes = "0"] =
    /^(.*?)(?:Z|([+-])([01]\d|2[0-3]):([0-5]\d))?$/.exec(text) ?? [];
  // A day that the calendar does not have is a slip, not the next month.
  const seconds = parseTime(local);
  const offset = (Number(hours) * 60 + Number(minutes)) * 60;
  return seconds === undefined ? undefined : seconds + (sign === "-" ? offset : -offset);
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
