/**
 * Addresses of servers as people write them: with a scheme, or without one.
 *
 * Without a scheme https is tried first; http only where the address is of this host, because a refused https
 * connection to anywhere else may be somebody's doing.
 */

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

/** Base URLs to try, best first, without a trailing slash; empty when the address is none. */
export function baseUrls(address: string): string[] {
  const hasScheme = /^https?:\/\//i.test(address);
  const url = URL.parse(hasScheme ? address : `https://${address}`);
  if (url === null || url.hostname === "" || url.search !== "" || url.hash !== "") return [];
  const path = url.pathname.replace(/\/+$/, "");
  if (hasScheme) return [`${url.protocol}//${url.host}${path}`];
  const https = `https://${url.host}${path}`;
  // The port of an https URL is left out when it is 443; http must keep it.
  const host = url.port === "" && /:443$/.test(address) ? `${url.host}:443` : url.host;
  return LOOPBACK.test(url.hostname) ? [https, `http://${host}${path}`] : [https];
}
