/** Figures as people read them. */

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
