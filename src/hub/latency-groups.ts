/** The groups in which latencies are shown, as the original's bars: powers of two, named by what they are near to. */
export interface LatencyGroup {
  label: string;
  /** The last histogram bin in it: bin i holds samples of less than 2^i nanoseconds. */
  lastBin: number;
}

export const latencyGroups: readonly LatencyGroup[] = [
  { label: "≤ 1 µs", lastBin: 10 },
  { label: "≤ 4 µs", lastBin: 12 },
  { label: "≤ 16 µs", lastBin: 14 },
  { label: "≤ 66 µs", lastBin: 16 },
  { label: "≤ 260 µs", lastBin: 18 },
  { label: "≤ 1 ms", lastBin: 20 },
  { label: "≤ 4 ms", lastBin: 22 },
  { label: "≤ 16 ms", lastBin: 24 },
  { label: "≤ 66 ms", lastBin: 26 },
  { label: "≤ 260 ms", lastBin: 28 },
  { label: "≤ 1 s", lastBin: 30 },
  { label: "> 1 s", lastBin: 64 },
];
