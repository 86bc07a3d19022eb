/**
 * What figures 7 to 10 have to show on any host: ratios and bounds, because absolute numbers of another machine do not transfer.
 *
 * Pure, so that a test can hand in figures that miss each of them (S24's negative controls).
 */
export interface Rate {
  perSecond: number;
  abortRate: number;
}

export interface Figures {
  /** Figure 7, by isolation level. */
  levels: Record<"RC" | "SI+DOCC" | "SI" | "SS+DOCC" | "SS", Rate>;
  /** Of posting, strictly serializable: the kind of transaction that commuting operations help most. */
  posting: { on: Rate; off: Rate };
  /** Figure 9, milliseconds of two moves. */
  rounds: Record<"pushed" | "notified" | "polled", number>;
  /** Read requests of the pushed game. */
  pushedReads: number;
  /** Figure 10, milliseconds of two moves over the time. */
  failover: readonly { x: number; y: number }[];
}

export interface Verdict {
  goal: string;
  found: string;
  isHeld: boolean;
}

const ABORTS_MEASURABLE = 0.001;
const FAILOVER_MS_MAX = 3000;

export function judgeFigures({ levels, posting, rounds, pushedReads, failover }: Figures): Verdict[] {
  const atLeast = (goal: string, found: number, floor: number) => ({
    goal: `${goal} at least ${floor}`,
    found: found.toFixed(2),
    isHeld: found >= floor,
  });
  const longestMs = Math.max(0, ...failover.map(({ y }) => y));
  return [
    atLeast("RC / SS with DOCC", levels.RC.perSecond / levels["SS+DOCC"].perSecond, 1.5),
    atLeast("SS with DOCC / SS without", levels["SS+DOCC"].perSecond / levels.SS.perSecond, 1.3),
    atLeast(
      "aborts of posting without DOCC / with",
      posting.off.abortRate / Math.max(posting.on.abortRate, ABORTS_MEASURABLE),
      5,
    ),
    {
      goal: "a pushed round at most 0.5 of one that is notified and reads, without a read",
      found: `${(rounds.pushed / rounds.notified).toFixed(2)}, ${pushedReads} reads`,
      isHeld: rounds.pushed <= 0.5 * rounds.notified && pushedReads === 0,
    },
    {
      goal: `the round with a killed primary below ${FAILOVER_MS_MAX} ms, and rounds behind it`,
      found: `${longestMs} ms of ${failover.length} rounds`,
      isHeld: longestMs < FAILOVER_MS_MAX && longestMs > 0,
    },
  ];
}
