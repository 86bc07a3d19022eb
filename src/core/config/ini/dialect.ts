/**
 * What the keys of an original program's INI file mean for a role of ours.
 *
 * A role that replaces an original carries one dialect, a table with one rule for each key the original knows. Invariant:
 * every known key has exactly one rule; what has no rule is unknown to the original too.
 */

/** The value for our key, or what was wanted instead of the text; `undefined` sets nothing. */
export type Converted = { value: unknown } | { wanted: string } | undefined;

export interface ConvertContext {
  /** Absolute: relative paths of the originals start here. */
  workingDirectory: string;
  /** Whether there is such a file: some keys of the originals had a file by default, if it was there. */
  hasFile(path: string): boolean;
}

interface RuleName {
  section: string;
  /** `*`: every key of the section. A section that ends in `*` means all that start so. */
  key: string;
}

/** A key that sets keys of ours. Where several rules set the same one, the last of the table counts. */
export interface SettingRule extends RuleName {
  to: string | readonly string[];
  convert(text: string, context: ConvertContext): Converted;
  /** Its value covers what an earlier rule asked for: nothing is lost, so nothing is told. */
  isWider?: true;
  /** Every key of the section (`key` is `*`) adds one item to a list; `convert` gets `<key>=<value>`. */
  gathers?: true;
  /** What a file without this key gets told; undefined when the key may be absent. */
  required?: string;
}

/** A key of the originals that means nothing here, and why. */
export interface NotedRule extends RuleName {
  note: string;
}

export type IniRule = SettingRule | NotedRule;

export interface IniDialect {
  /** The original program, for messages. */
  program: string;
  rules: readonly IniRule[];
  /** Sections that only this program's files have: they tell whose file it is. */
  ownSections: readonly string[];
  /** Keys that tell it where no section does: `["Server", "minval"]`. */
  ownKeys?: readonly (readonly [section: string, key: string])[];
  /** Our keys where the original's default is not ours. Each is applied when nothing else sets the key. */
  defaults(context: ConvertContext): Record<string, unknown>;
}

export const targetsOf = ({ to }: SettingRule): readonly string[] => (typeof to === "string" ? [to] : to);

export const isSetting = (rule: IniRule): rule is SettingRule => "to" in rule;

/** Whether a rule is about this entry. */
export function matches(rule: IniRule, section: string, key: string): boolean {
  const isSection = rule.section.endsWith("*")
    ? section.startsWith(rule.section.slice(0, -1))
    : section === rule.section;
  return isSection && (rule.key === "*" || rule.key === key);
}
