/** @jsxImportSource preact */
/** The hash space as a ring: which dht node answers for which part, and parts that nobody or more than one answers for. */
import { arc } from "d3-shape";
import { compact } from "../format.ts";
import { lineColor } from "./chart-scale.ts";
import { shortName } from "./figure-charts.tsx";

export interface RangeOwner {
  instance: string;
  isReady: boolean;
  min: bigint;
  max: bigint;
  records: number;
}

const SPACE = 2n ** 64n;
const RADIUS = 100;
const turn = (hash: bigint) => (Number((hash * 1_000_000n) / SPACE) / 1_000_000) * 2 * Math.PI;
const hex = (hash: bigint) => hash.toString(16).padStart(16, "0");

export interface Gap {
  min: bigint;
  max: bigint;
  owners: number;
}

/** Parts with no owner, or more than one. */
export function faultsOf(owners: readonly RangeOwner[]): Gap[] {
  const edges = [...new Set([0n, SPACE, ...owners.flatMap(({ min, max }) => [min, max + 1n])])].sort(
    (a, b) => (a < b ? -1 : 1),
  );
  return edges.slice(0, -1).flatMap((min, index) => {
    const max = (edges[index + 1] as bigint) - 1n;
    const count = owners.filter((owner) => owner.min <= min && owner.max >= max).length;
    return count === 1 ? [] : [{ min, max, owners: count }];
  });
}

/** So many are named in one column beside the ring. */
const OWNERS_BESIDE_MAX = 8;

export function HashRing({ owners }: { owners: readonly RangeOwner[] }) {
  const faults = faultsOf(owners);
  const piece = arc<{ min: bigint; max: bigint }>()
    .innerRadius(RADIUS - 26)
    .outerRadius(RADIUS)
    .startAngle(({ min }) => turn(min))
    .endAngle(({ max }) => turn(max + 1n))
    .padAngle(0.015);
  const outer = arc<Gap>()
    .innerRadius(RADIUS + 3)
    .outerRadius(RADIUS + 8)
    .startAngle(({ min }) => turn(min))
    .endAngle(({ max }) => turn(max + 1n));
  const summary =
    faults.length === 0
      ? "every hash has one node"
      : `${faults.length} ${faults.length === 1 ? "part" : "parts"} without exactly one node`;
  return (
    <div class={`card ring ${owners.length > OWNERS_BESIDE_MAX ? "many" : ""}`}>
      <svg
        viewBox="-115 -115 230 230"
        role="img"
        aria-label={`Hash space over ${owners.length} nodes: ${summary}`}
      >
        {owners.map((owner, index) => (
          <path
            key={owner.instance}
            d={piece(owner) ?? ""}
            fill={lineColor(index)}
            opacity={owner.isReady ? 1 : 0.3}
          />
        ))}
        {faults.map((fault) => (
          <path key={String(fault.min)} d={outer(fault) ?? ""} fill="var(--bad)" />
        ))}
        <text x="0" y="-2" text-anchor="middle" style={{ fontSize: "17px", fill: "var(--text)" }}>
          {compact(owners.reduce((sum, { records }) => sum + records, 0))}
        </text>
        <text x="0" y="14" text-anchor="middle">
          records
        </text>
      </svg>
      <ul class="legend">
        {owners.map(({ instance, min, max, records, isReady }, index) => (
          <li key={instance}>
            <span class="swatch" style={{ background: lineColor(index) }} />
            <div>
              <strong>{shortName(instance)}</strong> {compact(records)} records{isReady ? "" : ", not ready"}
              <code>
                {hex(min)} to {hex(max)}
              </code>
            </div>
          </li>
        ))}
        {faults.map(({ min, max, owners: count }) => (
          <li key={String(min)} class="bad-text">
            <span class="swatch" style={{ background: "var(--bad)" }} />
            <div>
              {count === 0 ? "nobody answers" : `${count} nodes answer`}
              <code>
                {hex(min)} to {hex(max)}
              </code>
            </div>
          </li>
        ))}
      </ul>
    </div>
  );
}
