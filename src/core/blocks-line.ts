/** A line of figures as blocks of eight heights, for terminals: `▁▂▅█`. Gaps stay gaps. */
const BLOCKS = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

/** The newest `width` values, from zero to their own maximum. */
export function blocksLine(values: readonly (number | null)[], width: number): string {
  const shown = values.slice(-width);
  const peak = Math.max(0, ...shown.map((value) => value ?? 0));
  const text = shown.map((value) => {
    if (value === null) return " ";
    const height = peak === 0 ? 0 : Math.ceil((value / peak) * BLOCKS.length) - 1;
    return BLOCKS[Math.max(0, height)] ?? " ";
  });
  return text.join("").padStart(width);
}
