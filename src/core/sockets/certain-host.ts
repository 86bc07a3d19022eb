/**
 * Names that a listener without a login answers under. A web page of somebody else can have its own name lead to this
 * host (DNS rebinding), and is then served like a page of ours; the `Host` header gives it away.
 */

/** True for a host that cannot have been rebound by whoever owns a name: an address, or a name of this machine. */
export function isCertainHost(host: string, own: string): boolean {
  const name = host.replace(/:\d+$/, "").toLowerCase();
  return (
    /^\d{1,3}(\.\d{1,3}){3}$/.test(name) ||
    /^\[[0-9a-f:]+\]$/.test(name) ||
    name === "localhost" ||
    name.endsWith(".localhost") ||
    name === own.toLowerCase()
  );
}
