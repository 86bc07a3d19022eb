/**
 * Units of the WalB formats: blocks of 512 bytes, sizes as people write them, times as file names and listings show
 * them (UTC).
 */

/** A logical block, the unit of addresses and sizes in diffs and in the protocol. */
export const BLOCK_BYTES = 512;

/** "None" of a log position or generation: all bits set. */
export const NO_LSID = 0xffff_ffff_ffff_ffffn;

const suffixes = "kmgtpe";

/** `4096`, `64K`, `1g`: a number with an optional power of 1024; undefined when it is not one. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d{1,16})([kmgtpe]?)$/i.exec(text);
  if (match === null) return undefined;
  const power = match[2] === "" ? 0 : suffixes.indexOf((match[2] as string).toLowerCase()) + 1;
  const size = Number(match[1]) * 1024 ** power;
  return Number.isSafeInteger(size) ? size : undefined;
}

/** The shortest way to write a size without loss: 1048576 is `1m`. */
export function sizeText(bytes: number): string {
  let rest = bytes;
  let power = 0;
  while (rest !== 0 && rest % 1024 === 0 && power < suffixes.length) {
    rest /= 1024;
    power += 1;
  }
  return power === 0 ? String(bytes) : `${rest}${suffixes[power - 1]}`;
}

const digits = (value: number, width: number) => String(value).padStart(width, "0");

function parts(unixSeconds: number): [string, string, string, string, string, string] {
  const date = new Date(unixSeconds * 1000);
  return [
    digits(date.getUTCFullYear(), 4),
    digits(date.getUTCMonth() + 1, 2),
    digits(date.getUTCDate(), 2),
    digits(date.getUTCHours(), 2),
    digits(date.getUTCMinutes(), 2),
    digits(date.getUTCSeconds(), 2),
  ];
}

/** `20261122082206`, as file names have it. */
export function compactTime(unixSeconds: number): string {
  return parts(unixSeconds).join("");
}

/** `2026-11-22T08:22:06`, as listings have it; `---` for 0, which is never. */
export function listingTime(unixSeconds: number): string {
  if (unixSeconds === 0) return "---";
  const [year, month, day, hour, minute, second] = parts(unixSeconds);
  return `${year}-${month}-${day}T${hour}:${minute}:${second}`;
}

/** Seconds since 1970 of either form; undefined when it is not a time. */
export function parseTime(text: string): number | undefined {
  const match = /^(\d{4})-?(\d\d)-?(\d\d)T?(\d\d):?(\d\d):?(\d\d)$/.exec(text);
  if (match === null) return undefined;
  const [year, month, day, hour, minute, second] = match.slice(1).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const seconds = Date.UTC(year, month - 1, day, hour, minute, second) / 1000;
  const isReal = compactTime(seconds) === text.replace(/[-T:]/g, "");
  return isReal && seconds >= 0 ? seconds : undefined;
}

/** Seconds of `90`, `30m`, `6h`, `14d` or `hh:mm:ss`; undefined when it is no period. */
export function parsePeriod(text: string): number | undefined {
  const clock = /^(\d{1,3}):(\d\d):(\d\d)$/.exec(text);
  if (clock !== null) return Number(clock[1]) * 3600 + Number(clock[2]) * 60 + Number(clock[3]);
  const match = /^(\d{1,9})([smhd]?)$/.exec(text);
  const unit = { "": 1, s: 1, m: 60, h: 3600, d: 86_400 }[match?.[2] ?? "none"];
  return match === null || unit === undefined ? undefined : Number(match[1]) * unit;
}

/** 32 hex digits. */
export function uuidText(uuid: Uint8Array): string {
  return Buffer.from(uuid).toString("hex");
}
