/** Figures as people read them. */
import type { Unit } from "../figures.ts";

/** `1.2 k`, `3.45 M`: three digits at most. */
export function compact(value: number): string {
  if (value < 10) return value.toFixed(value === Math.round(value) ? 0 : 1);
  if (value < 1000) return value.toFixed(0);
  const units = ["k", "M", "G", "T"];
  let scaled = value / 1000;
  let unit = 0;
  while (scaled >= 999.5 && unit < units.length - 1) {
    scaled /= 1000;
    unit++;
  }
  return `${scaled.toFixed(scaled < 9.995 ? 2 : scaled < 99.95 ? 1 : 0)} ${units[unit]}`;
}

/** `64.2 MiB`. */
export function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let scaled = value;
  let unit = 0;
  while (scaled >= 1024 && unit < units.length - 1) {
    scaled /= 1024;
    unit++;
  }
  return `${scaled.toFixed(unit === 0 || scaled >= 100 ? 0 : 1)} ${units[unit]}`;
}

/** `12 s`, `5 min 3 s`, `2 d 4 h`: the two largest units. */
export function duration(seconds: number): string {
  const units: [number, string][] = [[86_400, "d"], [3600, "h"], [60, "min"], [1, "s"]]; // prettier-ignore
  const parts: string[] = [];
  let rest = Math.floor(seconds);
  for (const [size, name] of units) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0 || parts.length > 0) parts.push(`${count} ${name}`);
  }
  return parts.slice(0, 2).filter((part) => !part.startsWith("0 ")).join(" ") || "0 s"; // prettier-ignore
}

/** A value in its figure's unit, short: `1.20 k`, `64.2 MiB`, `3.1 %`, `12 ms`. */
export function inUnit(value: number, unit: Unit, isRate: boolean): string {
  const per = isRate ? "/s" : "";
  if (unit === "bytes") return `${bytes(value)}${per}`;
  if (unit === "percent") return `${value.toFixed(value < 10 ? 1 : 0)} %`;
  if (unit === "ratio") return `${(100 * value).toFixed(0)} %`;
  if (unit === "seconds") return seconds(value);
  return `${compact(value)}${per}`;
}

/** `340 ns`, `12.0 ms`, `3.2 s`, `2 h 5 min`. */
export function seconds(value: number): string {
  if (value === 0) return "0 s";
  if (value < 1e-6) return `${Math.round(value * 1e9)} ns`;
  if (value < 1e-3) return `${(value * 1e6).toFixed(value < 1e-5 ? 1 : 0)} µs`;
  if (value < 1) return `${(value * 1e3).toFixed(value < 1e-2 ? 1 : 0)} ms`;
  return value < 60 ? `${value.toFixed(1)} s` : duration(value);
}

/** `1 diff`, `2,304 diffs`. */
export function counted(count: number, noun: string): string {
  return `${whole(count)} ${noun}${count === 1 ? "" : "s"}`;
}

export function whole(value: number): string {
  return Math.round(value).toLocaleString("en");
}

/** `25 Nov 22:04:31`, in the reader's time zone. */
export function moment(atMs: number): string {
  const at = new Date(atMs);
  const day = at.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
  return `${day} ${at.toLocaleTimeString("en-GB")}`;
}

export function clockTime(atMs: number): string {
  return new Date(atMs).toLocaleTimeString("en-GB");
}
