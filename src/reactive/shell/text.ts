/** Values as a terminal shows them. */
import type { Value } from "../shard/operations.ts";

const decoder = new TextDecoder("utf-8", { fatal: true });

function shown(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch {
    return `0x${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
  }
}

/** For a terminal, which would obey what a value tells it: control characters but tab and newline as `\\x1b`. */
export function visible(text: string): string {
  return text.replace(
    /[\x00-\x08\x0b-\x1f\x7f-\x9f]/g,
    (each) => `\\x${each.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}

/** One line for each, unless a text itself has several. */
export function textOf(value: Value): string {
  switch (value.type) {
    case "absent":
      return "(nothing)";
    case "bytes":
      return shown(value.bytes);
    case "counter":
      return value.count.toString();
    case "list":
      return `[${value.elements.map((each) => JSON.stringify(shown(each))).join(", ")}]`;
    case "set":
      return `{${value.elements.map((each) => JSON.stringify(shown(each))).join(", ")}}`;
    case "map": {
      const entries = value.entries.map(
        ([field, item]) => `${JSON.stringify(shown(field))}: ${JSON.stringify(shown(item))}`,
      );
      return `{${entries.join(", ")}}`;
    }
  }
}
