/**
 * The text files that list the addresses of a replicated group: `prefix0.config`, `prefix.tss.config`,
 * `prefix.frontend0.config`, in both dialects of the original Diamond.
 *
 *   host      <name>:<port>      since 2016: one line per replica, its position is the replica's number
 *   replica   <name>:<port>      before that; the same meaning
 *   f         <number>           before that: failures to survive; needs 2f+1 replicas
 *   multicast <name>:<port>      before that; not used
 *   # comment                    also after blanks
 *
 * Words may be in any case, text after an address is ignored, a CR at the end of a line too. Invariant: every mistake
 * is found, each with its line; the quorum is always a real majority, floor(n/2)+1, also where the originals' f+1 of an
 * even group was not one. Port names (`host a:http`) are refused: what they mean differs between hosts.
 */
import { nearest } from "./nearest.ts";
import type { Origin } from "./origin.ts";
import { decodeText, type ParsedText } from "./parse.ts";
import { excerpt, type Notice, type Problem } from "./problem.ts";

/** `group`: replicas that vote. `single`: a server without replicas (a frontend), exactly one address. */
export type GroupKind = "group" | "single";

export interface GroupMember {
  host: string;
  port: number;
  origin: Origin & { kind: "file" };
}

export interface GroupFile {
  /** In the order of the file: the position is the replica's number. */
  members: GroupMember[];
  quorum: number;
  /** How many members may fail: those beyond the quorum. */
  failuresMax: number;
  problems: Problem[];
  notices: Notice[];
}

const DIRECTIVES = ["host", "replica", "f", "multicast"];
const PORT_MAX = 65535;
const MEMBERS_MAX = 1000;
const WANTED_ADDRESS = "an address and a port, such as host0:12345";

/** How many of `size` members decide: a real majority, also of an even number. */
export function quorumOf(size: number): number {
  return Math.floor(size / 2) + 1;
}

/** Reads the bytes of one file. Never throws: whatever is wrong with them is in `problems`. */
export function parseGroupFile(file: string, bytes: Uint8Array, kind: GroupKind): GroupFile {
  const text = decodeText(file, bytes);
  const reader = new Reader(text, kind);
  if (text.problems.length === 0) reader.read();
  const { members, notices } = reader;
  const quorum = quorumOf(members.length);
  return { members, quorum, failuresMax: members.length - quorum, problems: text.problems, notices };
}

class Reader {
  readonly members: GroupMember[] = [];
  readonly notices: Notice[] = [];
  readonly #text: ParsedText;
  readonly #kind: GroupKind;
  #failures: { count: number; offset: number } | undefined;
  #hasBadAddress = false;

  constructor(text: ParsedText, kind: GroupKind) {
    this.#text = text;
    this.#kind = kind;
  }

  read(): void {
    let offset = 0;
    for (const line of this.#text.text.split("\n")) {
      this.#line(line, offset);
      offset += line.length + 1;
    }
    this.#checkCount();
    this.#checkFailures();
  }

  #line(line: string, lineOffset: number): void {
    const words = [...line.matchAll(/[^\s\0]+/g)];
    const [directive, argument, surplus] = words;
    if (directive === undefined || directive[0].startsWith("#")) return;
    const at = lineOffset + directive.index;
    const word = directive[0].toLowerCase();
    const isKnown = DIRECTIVES.includes(word);
    if (!isKnown) return this.#unknown(directive[0], at);
    if (argument === undefined) {
      const wanted = word === "f" ? "the number of failures to survive" : WANTED_ADDRESS;
      if (word !== "f") this.#hasBadAddress = true;
      return this.#text.mistake(at + word.length, [], `${wanted} after ${word}`, "nothing");
    }
    if (surplus !== undefined && !surplus[0].startsWith("#"))
      this.#warn(lineOffset + surplus.index, `${JSON.stringify(excerpt(surplus[0]))} is ignored`);
    const argumentAt = lineOffset + argument.index;
    if (word === "f") this.#failureCount(argument[0], argumentAt);
    else if (word === "multicast") this.#warn(at, "multicast is not used and ignored");
    else this.#member(argument[0], argumentAt);
  }

  #unknown(word: string, offset: number): void {
    const suggestion = nearest(word.toLowerCase(), DIRECTIVES);
    this.#text.problems.push({
      origin: this.#text.originAt(offset),
      path: [],
      wanted: `one of ${DIRECTIVES.join(", ")}`,
      got: JSON.stringify(excerpt(word)),
      ...(suggestion !== undefined && { nearest: suggestion }),
    });
  }

  #failureCount(text: string, offset: number): void {
    if (this.#failures !== undefined) return this.#text.mistake(offset, [], "f once", "it again");
    const isNumber = /^(0x[0-9a-f]{1,4}|[0-9]{1,4})$/i.test(text) && !/^0[0-9]*[89]/.test(text);
    if (!isNumber) return this.#text.mistake(offset, [], "the number of failures to survive", excerpt(text));
    // A leading zero means octal, as in the originals' parser.
    const count = /^0[0-7]+$/.test(text) ? Number.parseInt(text, 8) : Number(text);
    this.#failures = { count, offset };
  }

  #member(text: string, offset: number): void {
    const origin = this.#text.originAt(offset);
    const address = parseAddress(text);
    if (typeof address === "string") {
      this.#hasBadAddress = true;
      return this.#text.mistake(offset, [], address, excerpt(text));
    }
    const twin = this.members.find(({ host, port }) => host === address.host && port === address.port);
    if (twin !== undefined) {
      const got = `${excerpt(text)} again (first on line ${twin.origin.line})`;
      return this.#text.mistake(offset, [], "each address once", got);
    }
    if (this.members.length === MEMBERS_MAX)
      return this.#text.mistake(offset, [], `at most ${MEMBERS_MAX} addresses`, "more");
    this.members.push({ ...address, origin });
  }

  #checkCount(): void {
    const count = this.members.length;
    const first = this.#text.originAt(0);
    if (count === 0 && !this.#hasBadAddress) {
      const wanted = this.#kind === "single" ? "one line host <name>:<port>" : "lines host <name>:<port>";
      this.#text.problems.push({ origin: first, path: [], wanted, got: "none" });
    }
    const second = this.members[1];
    if (this.#kind === "single" && second !== undefined)
      this.#text.problems.push({
        origin: second.origin,
        path: [],
        wanted: "exactly one address",
        got: `${count}`,
      });
  }

  #checkFailures(): void {
    if (this.#failures === undefined || this.#kind === "single" || this.#hasBadAddress) return;
    const { count, offset } = this.#failures;
    const size = this.members.length;
    const needed = 2 * count + 1;
    if (needed > size)
      this.#text.mistake(offset, [], `${needed} addresses to survive ${count} failures`, `${size}`);
    if (needed < size) {
      const survives = size - quorumOf(size);
      const why = `${size} replicas decide by a majority of ${quorumOf(size)} and survive ${survives}`;
      this.#warn(offset, `f ${count} is ignored: ${why}`);
    }
  }

  #warn(offset: number, text: string): void {
    this.notices.push({ level: "warn", origin: this.#text.originAt(offset), text });
  }
}

/** `name:port` or `[v6]:port`; what is wanted when it is neither. */
export function parseAddress(text: string): { host: string; port: number } | string {
  const match =
    /^(?:\[(?<v6>[0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|(?<name>[A-Za-z0-9._][A-Za-z0-9._-]*)):(?<port>.*)$/.exec(
      text,
    );
  if (match === null) return WANTED_ADDRESS;
  const { v6, name, port = "" } = match.groups ?? {};
  if (port.includes(":")) return "an IPv6 address in brackets, such as [::1]:12345";
  if (!/^\d{1,5}$/.test(port) || Number(port) < 1 || Number(port) > PORT_MAX)
    return `a port number from 1 to ${PORT_MAX} after the last colon`;
  const host = (v6 ?? name ?? "").slice(0, 256);
  return { host: host.toLowerCase(), port: Number(port) };
}
