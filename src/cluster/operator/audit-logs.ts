/** The audit logs of hosts and of this machine held against each other. */
import { verifyChain } from "../audit/chain.ts";
import type { AuditEntry } from "../agent/messages.ts";

/** Throws NX_AUDIT_BROKEN at the first thing that does not fit. */
export function verifyLogs(
  hosts: ReadonlyMap<string, readonly AuditEntry[]>,
  own: readonly AuditEntry[],
  operator: string,
): void {
  for (const [host, entries] of hosts) verifyChain(host, entries, witnessesFor(host, own));
  // Another checkout of the same operator has a log of its own: only commands that this one knows count.
  const commands = new Set(own.map(({ operation }) => operation));
  const seen = [...hosts.values()].flatMap((entries) =>
    witnessesFor(
      operator,
      entries.filter(({ operation }) => commands.has(operation)),
    ),
  );
  verifyChain("this machine", own, seen);
}

function witnessesFor(name: string, entries: readonly AuditEntry[]): string[] {
  return entries.flatMap(({ witnesses }) => witnesses?.[name] ?? []);
}
