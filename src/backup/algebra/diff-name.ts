/**
 * The names of diff files, which carry what the diff is: `20261122082206-M--1-2.wdiff`.
 *
 *   TIME-MC-FROM-TO.wdiff    M or -: mergeable, C or -: made by comparison; gids in decimal, two when both ends are
 *                            clean, else four (FROM.begin-FROM.end-TO.begin-TO.end)
 *
 * The flags in the name are the true ones: changing a flag is a rename.
 */
import { compactTime, parseTime } from "../formats/units.ts";
import { isClean, isSound, type MetaDiff } from "./snapshot.ts";

export const DIFF_SUFFIX = ".wdiff";
const pattern = /^(\d{14})-([M-])([C-])-(\d{1,20})-(\d{1,20})(?:-(\d{1,20})-(\d{1,20}))?\.wdiff$/;

export function diffName({ isMergeable, isComparison, timestamp, from, to }: MetaDiff): string {
  const gids =
    isClean(from) && isClean(to) ? [from.begin, to.begin] : [from.begin, from.end, to.begin, to.end];
  return `${compactTime(timestamp)}-${isMergeable ? "M" : "-"}${isComparison ? "C" : "-"}-${gids.join("-")}${DIFF_SUFFIX}`;
}

/** The side file of a diff; flags are not part of its name, so it stays when they change. */
export function sideName({ timestamp, from, to }: MetaDiff): string {
  return `${compactTime(timestamp)}-${[from.begin, from.end, to.begin, to.end].join("-")}.crc32c`;
}

/** What a name says; undefined when it is not the name of a diff. The size is not in it. */
export function parseDiffName(name: string): MetaDiff | undefined {
  const match = pattern.exec(name);
  const timestamp = match === null ? undefined : parseTime(match[1] as string);
  if (match === null || timestamp === undefined) return undefined;
  const [a, b, c, d] = match.slice(4).map((text) => (text === undefined ? undefined : BigInt(text)));
  const [from, to] =
    c === undefined || d === undefined
      ? [
          { begin: a as bigint, end: a as bigint },
          { begin: b as bigint, end: b as bigint },
        ]
      : [
          { begin: a as bigint, end: b as bigint },
          { begin: c, end: d },
        ];
  const diff = {
    isMergeable: match[2] === "M",
    isComparison: match[3] === "C",
    timestamp,
    from,
    to,
    dataBytes: 0,
  };
  return isSound(diff) ? diff : undefined;
}
