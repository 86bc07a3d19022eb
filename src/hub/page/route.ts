/**
 * Where the reader is: `#/store?range=6h`. In the address, so that a link shows somebody else the same.
 *
 * Invariant: whatever the address says, there is a page for it and a range.
 */
import { computed, signal } from "@preact/signals";

export interface Range {
  name: string;
  label: string;
  ms: number;
}

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

export const ranges: readonly Range[] = [
  { name: "5m", label: "5 minutes", ms: 5 * MINUTE_MS },
  { name: "15m", label: "15 minutes", ms: 15 * MINUTE_MS },
  { name: "1h", label: "1 hour", ms: HOUR_MS },
  { name: "6h", label: "6 hours", ms: 6 * HOUR_MS },
  { name: "24h", label: "24 hours", ms: 24 * HOUR_MS },
  { name: "7d", label: "7 days", ms: 7 * 24 * HOUR_MS },
  { name: "30d", label: "30 days", ms: 30 * 24 * HOUR_MS },
];

const defaultRange = ranges[1] as Range;
const hash = signal(location.hash);
addEventListener("hashchange", () => (hash.value = location.hash));

const words = computed(() => {
  const [path = "", query = ""] = hash.value.replace(/^#\/?/, "").split("?");
  const [page = "", ...rest] = path.split("/");
  return { page, item: decode(rest.join("/")), query: new URLSearchParams(query) };
});

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The page's name; empty for the overview. */
export const page = computed(() => words.value.page);
/** What of it: an instance's name. */
export const item = computed(() => words.value.item);
export const range = computed(
  () => ranges.find(({ name }) => name === words.value.query.get("range")) ?? defaultRange,
);

/** The address of a page, with the range that is chosen. */
export function linkTo(page: string, item?: string): string {
  const path = item === undefined ? page : `${page}/${encodeURIComponent(item)}`;
  const { name } = range.value;
  return `#/${path}${name === defaultRange.name ? "" : `?range=${name}`}`;
}

export function setRange(name: string): void {
  const { page, item } = words.value;
  const path = item === "" ? page : `${page}/${encodeURIComponent(item)}`;
  location.hash = `#/${path}?range=${name}`;
}
