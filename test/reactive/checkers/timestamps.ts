/**
 * Decides whether timestamps kept their promise: each unique, and greater than every one that had been received, by
 * anybody, before it was asked for. Exact, in n log n.
 */

export interface Issued {
  client: string;
  askedAt: number;
  receivedAt: number;
  timestamp: number;
}

/** What is wrong, if anything. */
export function checkTimestamps(history: readonly Issued[]): string[] {
  const problems: string[] = [];
  const owners = new Map<number, Issued>();
  for (const issued of history) {
    const twin = owners.get(issued.timestamp);
    if (twin !== undefined) problems.push(`${issued.timestamp} went to ${twin.client} and ${issued.client}`);
    owners.set(issued.timestamp, issued);
  }
  const received = history.toSorted((a, b) => a.receivedAt - b.receivedAt);
  let at = 0;
  let latest: Issued | undefined;
  for (const issued of history.toSorted((a, b) => a.askedAt - b.askedAt)) {
    for (; (received[at]?.receivedAt ?? Infinity) < issued.askedAt; at++) {
      const before = received[at] as Issued;
      if (before.timestamp > (latest?.timestamp ?? 0)) latest = before;
    }
    if (latest !== undefined && issued.timestamp < latest.timestamp) {
      problems.push(
        `${issued.client} asked at ${issued.askedAt} and got ${issued.timestamp}, ` +
          `${latest.client} had ${latest.timestamp} at ${latest.receivedAt}`,
      );
    }
  }
  return problems;
}
