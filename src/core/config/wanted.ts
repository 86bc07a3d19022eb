/**
 * What a schema accepts, as words that complete "wanted …".
 *
 * The words come from the schema and not from the validator's message, so an error, `config explain` and the
 * reference page say the same thing about a key.
 */
import { z } from "zod";

/** `an integer from 0 to 65535`, `one of "log", "memory"`, `true or false`. */
export function wantedOf(schema: z.ZodType): string {
  const noted = schema.meta()?.wanted;
  if (noted !== undefined) return noted;
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault || schema instanceof z.ZodOptional) {
    return wantedOf(schema.unwrap() as z.ZodType);
  }
  if (schema instanceof z.ZodNullable) return `${wantedOf(schema.unwrap() as z.ZodType)} or null`;
  if (schema instanceof z.ZodNumber) return wantedNumber(schema);
  if (schema instanceof z.ZodString) return (schema.minLength ?? 0) > 0 ? "a non-empty string" : "a string";
  if (schema instanceof z.ZodBoolean) return "true or false";
  if (schema instanceof z.ZodEnum) return wantedOneOf(schema.options);
  if (schema instanceof z.ZodLiteral) return wantedOneOf([...schema.values]);
  if (schema instanceof z.ZodArray) return `a list, each ${wantedOf(schema.element as z.ZodType)}`;
  if (schema instanceof z.ZodRecord)
    return `an object whose values are each ${wantedOf(schema.valueType as z.ZodType)}`;
  if (schema instanceof z.ZodObject) return "an object in { }";
  if (schema instanceof z.ZodUnion)
    return schema.options.map((option) => wantedOf(option as z.ZodType)).join(" or ");
  return "another value";
}

function wantedNumber(schema: z.ZodNumber): string {
  const noun = schema.isInt ? "an integer" : "a number";
  const limit = (value: number | null) =>
    value === null || Math.abs(value) >= Number.MAX_SAFE_INTEGER ? undefined : value;
  const [min, max] = [limit(schema.minValue), limit(schema.maxValue)];
  if (min !== undefined && max !== undefined) return `${noun} from ${min} to ${max}`;
  if (min !== undefined) return `${noun} of at least ${min}`;
  if (max !== undefined) return `${noun} of at most ${max}`;
  return noun;
}

function wantedOneOf(values: readonly unknown[]): string {
  const words = values.map((value) => JSON.stringify(value));
  return words.length === 1 ? (words[0] ?? "") : `one of ${words.join(", ")}`;
}
