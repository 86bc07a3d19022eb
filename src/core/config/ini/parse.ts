/**
 * An INI text as the original programs read it → its entries, each with its place.
 *
 *   [Section]            keys belong to the section above them
 *   key = value          blanks around both are dropped
 *   more                 a line without "=" continues the value above it, on a line of its own
 *   ; # //               begin a comment line
 *
 * Invariant: never throws; each mistake of the text is a problem with line and column. Several files are read one after
 * the other as one text whose places still name the file they are in; of a key given twice the last one counts.
 */
import type { Origin } from "../origin.ts";
import { decodeText, ParsedText } from "../parse.ts";
import { excerpt } from "../problem.ts";

export interface IniEntry {
  section: string;
  key: string;
  value: string;
  keyOffset: number;
  valueOffset: number;
  /** From the first character of the value to its last, continuation lines included. */
  valueLength: number;
}

export interface IniFile {
  /** As the operator wrote it. */
  file: string;
  bytes: Uint8Array;
}

interface Part {
  file: string;
  /** Of its first character in the joined text. */
  start: number;
  firstLine: number;
}

/** Several files joined to one text. */
class JoinedText extends ParsedText {
  readonly #parts: Part[];

  constructor(parts: Part[], text: string) {
    super(parts[0]?.file ?? "", text);
    this.#parts = parts;
  }

  override originAt(offset: number): Origin & { kind: "file" } {
    const joined = super.originAt(offset);
    const part = this.#parts.findLast(({ start }) => start <= offset);
    if (part === undefined) return joined;
    return { ...joined, file: part.file, line: joined.line - part.firstLine };
  }
}

export class IniText {
  readonly parsed: ParsedText;
  readonly entries: IniEntry[] = [];
  /** Offset of each section's first header. */
  readonly sections = new Map<string, number>();

  constructor(parsed: ParsedText) {
    this.parsed = parsed;
  }

  /** All entries of this name; the last one counts. */
  all(section: string, key: string): IniEntry[] {
    return this.entries.filter((entry) => entry.section === section && entry.key === key);
  }

  get(section: string, key: string): IniEntry | undefined {
    return this.all(section, key).at(-1);
  }
}

/** Whether a configuration is INI: by its name, else by what its first line looks like. */
export function isIni(file: string, bytes: Uint8Array): boolean {
  if (/\.jsonc?$/.test(file)) return false;
  if (/\.ini$/i.test(file)) return true;
  const head = new TextDecoder().decode(bytes.subarray(0, 16 * 1024));
  const first = head.split("\n").find((line) => line.trim() !== "" && !isComment(line.trim()));
  return first !== undefined && /^\s*\[[^[\]{}",]+\]\s*$/.test(first);
}

/** Reads all files, the later ones after the earlier ones. */
export function parseIni(files: readonly IniFile[]): IniText {
  const decoded = files.map(({ file, bytes }) => decodeText(file, bytes));
  const parts: Part[] = [];
  let joined = "";
  let lines = 0;
  for (const { file, text } of decoded) {
    parts.push({ file, start: joined.length, firstLine: lines });
    joined += `${text}\n`;
    lines += text.split("\n").length;
  }
  const ini = new IniText(new JoinedText(parts, joined));
  for (const [index, { problems, firstMisreadOffset }] of decoded.entries()) {
    ini.parsed.problems.push(...problems);
    const start = parts[index]?.start ?? 0;
    ini.parsed.firstMisreadOffset = Math.min(ini.parsed.firstMisreadOffset, start + firstMisreadOffset);
  }
  for (const [index, part] of parts.entries()) readLines(ini, part.start, decoded[index]?.text ?? "");
  return ini;
}

function readLines(ini: IniText, start: number, text: string): void {
  let section: string | undefined;
  let last: IniEntry | undefined;
  let offset = start;
  for (const line of text.split("\n")) {
    const content = line.trim();
    const at = offset + line.indexOf(content);
    offset += line.length + 1;
    if (content === "" || isComment(content)) continue;
    if (content.startsWith("[")) {
      last = undefined;
      section = sectionName(ini, content, at);
      continue;
    }
    const equals = content.indexOf("=");
    if (section === undefined) ini.parsed.misreading(at, "a [Section] above the first key", excerpt(content));
    else if (equals > 0) ini.entries.push((last = entryOf(section, content, equals, at)));
    else if (equals === 0) ini.parsed.misreading(at, "a key before the =", excerpt(content));
    else if (last === undefined) ini.parsed.misreading(at, "key = value", excerpt(content));
    else {
      last.value += last.value === "" ? content : `\n${content}`;
      last.valueLength = at + content.length - last.valueOffset;
    }
  }
}

function sectionName(ini: IniText, content: string, at: number): string {
  const name = /^\[([^\]]*)\]$/.exec(content)?.[1]?.trim();
  if (name === undefined || name === "")
    ini.parsed.misreading(at, "[Section] on a line of its own", excerpt(content));
  const known = name ?? "";
  if (!ini.sections.has(known)) ini.sections.set(known, at);
  return known;
}

function entryOf(section: string, content: string, equals: number, at: number): IniEntry {
  const key = content.slice(0, equals).trimEnd();
  const value = content.slice(equals + 1).trimStart();
  return {
    section,
    key,
    value,
    keyOffset: at,
    valueOffset: at + content.length - value.length,
    valueLength: value.length,
  };
}

const isComment = (content: string) => /^(;|#|\/\/)/.test(content);
