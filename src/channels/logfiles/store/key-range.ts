/** The range of keys over several sources of records. */
export interface KeyRange {
  keyMin: bigint;
  keyMax: bigint;
}

/** The smallest range that holds all of them; undefined for none. */
export function widestRange(ranges: readonly KeyRange[]): KeyRange | undefined {
  if (ranges.length === 0) return undefined;
  return ranges.reduce(({ keyMin, keyMax }, each) => ({
    keyMin: each.keyMin < keyMin ? each.keyMin : keyMin,
    keyMax: each.keyMax > keyMax ? each.keyMax : keyMax,
  }));
}
