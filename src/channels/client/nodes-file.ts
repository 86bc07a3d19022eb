/**
 * The nodes file of the originals: one `address:port` per line, `#` starts a comment, blanks around it do not count.
 *
 * The order of the lines is the order of the nodes: round-robin goes by it.
 */
import { NxError } from "../../core/errors.ts";
import type { NodeAddress } from "../wire/legacy/client.ts";

/** Throws NX_INPUT_INVALID with the line. `name` is that of the file, for the message. */
export function parseNodesFile(text: string, name = "nodes file"): NodeAddress[] {
  const nodes: NodeAddress[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    const content = line.replace(/#.*/, "").trim();
    if (content !== "") nodes.push(parseAddress(content, `${name}:${index + 1}`));
  }
  if (nodes.length === 0)
    throw new NxError("NX_INPUT_INVALID", `${name}: no node in it`, {
      hint: "name one node per line, as address:port",
    });
  return nodes;
}

/** `127.0.0.1:10000`. Throws NX_INPUT_INVALID; `where` says whose it is. */
export function parseAddress(text: string, where: string): NodeAddress {
  const found = /^\[?([0-9A-Za-z._:%-]+?)\]?:(\d{1,5})$/.exec(text);
  const port = Number(found?.[2]);
  if (found === null || port < 1 || port > 65_535)
    throw new NxError("NX_INPUT_INVALID", `${where}: wanted address:port, got "${text}"`);
  return { host: found[1] as string, port };
}
