/** Values of command line options: read strictly, refused with what was wanted. */
import { parseAddress } from "./config/group-file.ts";
import { NxError } from "./errors.ts";

/** A whole number. Throws NX_USAGE. */
export function wholeOption(name: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= min && value <= max) return value;
  throw new NxError(
    "NX_USAGE",
    `${name}: wanted a whole number from ${min} to ${max}, got ${JSON.stringify(text)}`,
  );
}

/** An address with a port; 0 takes a free one. Throws NX_USAGE. */
export function listenOption(name: string, text: string): { host: string; port: number } {
  const isFree = text.endsWith(":0");
  const address = parseAddress(isFree ? `${text.slice(0, -1)}1` : text);
  if (typeof address === "string")
    throw new NxError("NX_USAGE", `${name}: wanted ${address}, got ${JSON.stringify(text)}`);
  return isFree ? { ...address, port: 0 } : address;
}
