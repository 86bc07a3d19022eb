/** @jsxImportSource preact */
/** Small things that several pages show: a condition, a bar, a list of facts, a section, the names of instances. */
import type { ComponentChildren } from "preact";
import type { ShownInstance } from "../../messages.ts";
import { linkTo } from "../route.ts";

export const NONE = "\u2013";

export function Condition({ snapshot }: { snapshot: Pick<ShownInstance, "condition" | "state"> }) {
  const { condition, state } = snapshot;
  const shown = condition === "not ready" && state !== "ready" ? state : condition;
  return <span class={`condition ${condition.replace(" ", "-")}`}>{shown}</span>;
}

/** A bar from 0 to 1 with its text behind it. `isLimit`: 1 is full, and to be near it is bad. */
interface MeterProps {
  share: number;
  text: string;
  label: string;
  isLimit?: boolean;
}

export function Meter({ share, text, label, isLimit = false }: MeterProps) {
  const percent = Math.round(100 * Math.min(1, Math.max(0, share)));
  const kind = !isLimit || percent < 80 ? "" : percent >= 95 ? "bad" : "warn";
  return (
    <div class="meter">
      <div
        class="track"
        role="meter"
        aria-label={label}
        aria-valuenow={percent}
        aria-valuemin={0}
        aria-valuemax={100}
      >
        <span class={`fill ${kind}`} style={{ width: `${percent}%` }} />
      </div>
      <span class="number">{text}</span>
    </div>
  );
}

export function Facts({ of }: { of: readonly (readonly [name: string, value: ComponentChildren])[] }) {
  return (
    <dl class="facts">
      {of.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value ?? NONE}</dd>
        </div>
      ))}
    </dl>
  );
}

export function Section({
  title,
  note,
  children,
}: {
  title: string;
  note?: string;
  children: ComponentChildren;
}) {
  return (
    <section class="section" aria-label={title}>
      <header>
        <h2>{title}</h2>
        {note !== undefined && <p class="muted small">{note}</p>}
      </header>
      {children}
    </section>
  );
}

export function InstanceLink({ name }: { name: string }) {
  return <a href={linkTo("instance", name)}>{name}</a>;
}

/** A table whose rows become cards on a narrow screen; cells carry their column's name. */
export function Table({ caption, columns, isEven = false, children }: TableProps) {
  return (
    <div class="scroll rows">
      <table class={isEven ? "even" : ""}>
        <caption class="unseen">{caption}</caption>
        <thead>
          <tr>
            {columns.map(([name, kind = ""]) => (
              <th key={name} scope="col" class={kind}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}

interface TableProps {
  caption: string;
  /** Name, and `number` for what stands at the right. */
  columns: readonly (readonly [name: string, kind?: "number"])[];
  /** Columns of numbers are equally wide, so that tables below each other line up. */
  isEven?: boolean;
  children: ComponentChildren;
}

export function NumberCell({ label, children }: { label: string; children: ComponentChildren }) {
  const isNone = children === undefined || children === null || children === false || children === "";
  return (
    <td class={`number ${isNone ? "none" : ""}`} data-label={label}>
      {isNone ? NONE : children}
    </td>
  );
}

export function Cell({ label, children }: { label: string; children: ComponentChildren }) {
  return <td data-label={label}>{children}</td>;
}

/** Instead of rows, where there are none. */
export function EmptyRow({ columns, text }: { columns: number; text: string }) {
  return (
    <tr>
      <td colSpan={columns} class="muted">
        {text}
      </td>
    </tr>
  );
}
