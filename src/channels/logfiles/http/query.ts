/**
 * What the address of a search says: `?from=…&to=…&contains=…&regex=…&ignoreCase=true&limit=…`.
 *
 * Times are UNIX seconds or RFC 3339 texts, both ends inclusive. A question that cannot be understood is an error that
 * names the parameter.
 */
import { z } from "zod";
import type { Filter } from "../../../native/logfiles/scan.ts";
import { everything } from "../scan/request.ts";

/** A key: UNIX seconds, or a text that names a second. Undefined when it is neither. */
export function parseTime(value: unknown): bigint | undefined {
  if (typeof value === "number") return Number.isSafeInteger(value) && value >= 0 ? BigInt(value) : undefined;
  if (typeof value !== "string") return undefined;
  if (/^\d{1,20}$/.test(value)) {
    const key = BigInt(value);
    return key < 2n ** 64n ? key : undefined;
  }
  if (!/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$/.test(value)) return undefined;
  const ms = Date.parse(value);
  return Number.isNaN(ms) || ms < 0 ? undefined : BigInt(Math.floor(ms / 1000));
}

const time = z.string().transform((value, context) => {
  const key = parseTime(value);
  if (key !== undefined) return key;
  context.addIssue({ code: "custom", message: "UNIX seconds or a text such as 2026-11-25T19:00:00Z" });
  return z.NEVER;
});

const parameters = {
  from: time.default(everything.low),
  to: time.default(everything.high),
  contains: z.string().min(1, "wanted a text of one character at least").optional(),
  regex: z.string().optional(),
  ignoreCase: z.enum(["true", "false"], "wanted true or false").default("false"),
  limit: z
    .string()
    .regex(/^[1-9]\d{0,14}$/, "wanted a number from 1 on")
    .transform(Number)
    .optional(),
};

const query = z
  .strictObject(parameters)
  .refine(({ contains, regex }) => contains === undefined || regex === undefined, {
    path: ["regex"],
    message: "contains or regex, not both",
  })
  .refine(({ ignoreCase, regex }) => ignoreCase === "false" || regex !== undefined, {
    path: ["ignoreCase"],
    message: "only together with regex",
  });

export interface Query {
  low: bigint;
  high: bigint;
  filter: Filter;
  limit: number | undefined;
}

/** The question, or why it is none. */
export function parseQuery(asked: Record<string, string>): Query | string {
  const known = Object.keys(parameters);
  const unknown = Object.keys(asked).find((name) => !known.includes(name));
  if (unknown !== undefined) return `"${unknown}" is no parameter; parameters are ${known.join(", ")}`;
  const parsed = query.safeParse(asked);
  if (!parsed.success)
    return parsed.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`).join("; ");
  const { from: low, to: high, contains, regex, ignoreCase, limit } = parsed.data;
  return { low, high, limit, filter: filterOf(contains, regex, ignoreCase === "true") };
}

function filterOf(contains: string | undefined, regex: string | undefined, ignoresCase: boolean): Filter {
  if (contains !== undefined) return { mode: "substring", pattern: Buffer.from(contains) };
  if (regex === undefined) return everything.filter;
  return { mode: ignoresCase ? "regexIgnoringCase" : "regex", pattern: Buffer.from(regex) };
}
