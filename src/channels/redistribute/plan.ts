/**
 * Who shall own which part of the hash space: equal parts for the nodes of a list, in its order; nothing for those that leave.
 *
 * The plan is a function of the list alone, so a run that was cut short is taken up by running it again.
 */
import type { NodeAddress } from "../wire/legacy/client.ts";
import type { Range } from "../wire/legacy/protocol.ts";

export const NO_RANGE: Range = { min: (1n << 64n) - 1n, max: 0n };
const SPACE = 1n << 64n;

export interface PlannedNode extends NodeAddress {
  target: Range;
}

export const isEmpty = ({ min, max }: Range) => min > max;
export const isSameRange = (a: Range, b: Range) => a.min === b.min && a.max === b.max;

export function equalParts(nodes: readonly NodeAddress[], leaving: readonly NodeAddress[]): PlannedNode[] {
  const count = BigInt(nodes.length);
  const staying = nodes.map((node, index) => {
    const [min, end] = [(SPACE * BigInt(index)) / count, (SPACE * BigInt(index + 1)) / count];
    return { ...node, target: { min, max: end - 1n } };
  });
  return [...staying, ...leaving.map((node) => ({ ...node, target: NO_RANGE }))];
}

/** What two ranges have in common. */
export function overlapOf(a: Range, b: Range): Range {
  const min = a.min > b.min ? a.min : b.min;
  const max = a.max < b.max ? a.max : b.max;
  return min > max ? NO_RANGE : { min, max };
}
