/** Columns of text for a terminal: every column as wide as its widest cell, measured in cells of the terminal. */

const GAP = "  ";

/** Pads every column to its widest cell; `right` lists the columns that are aligned to the right. */
export function alignColumns(
  rows: readonly (readonly string[])[],
  gap = GAP,
  right: readonly number[] = [],
): string[] {
  const widths: number[] = [];
  for (const row of rows)
    row.forEach((cell, column) => (widths[column] = Math.max(widths[column] ?? 0, Bun.stringWidth(cell))));
  const pad = (cell: string, column: number) => {
    const spaces = " ".repeat(Math.max(0, (widths[column] ?? 0) - Bun.stringWidth(cell)));
    return right.includes(column) ? spaces + cell : cell + spaces;
  };
  return rows.map((row) => row.map(pad).join(gap).trimEnd());
}

/** Breaks text into lines of at most `columns` cells. */
export function wrap(text: string, columns: number): string[] {
  return Bun.wrapAnsi(text, columns, { hard: false, trim: true }).split("\n");
}

/** A last column narrower than this is no help to a reader. */
const LAST_COLUMN_MIN = 30;
/** A row of more cells is figures: as a paragraph of so many lines it is worse than broken by the terminal. */
const PARAGRAPH_LINES_MAX = 5;

/** A table that a terminal need not break: its last column in several lines, or each row as a paragraph. */
export function fitColumns(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  columns: number,
): string[] {
  const all = [header, ...rows];
  const aligned = alignColumns(all);
  if (aligned.every((line) => Bun.stringWidth(line) <= columns)) return aligned;
  const last = header.length - 1;
  const widthOf = (index: number) => Math.max(...all.map((row) => Bun.stringWidth(row[index] ?? "")));
  const before = header.slice(0, last).reduce((sum, _, index) => sum + widthOf(index) + GAP.length, 0);
  if (columns - before >= LAST_COLUMN_MIN) {
    const broken = all.flatMap((row) =>
      wrap(row[last] ?? "", columns - before).map((part, index) =>
        index === 0 ? [...row.slice(0, last), part] : [...row.slice(0, last).map(() => ""), part],
      ),
    );
    return alignColumns(broken);
  }
  if (header.length > PARAGRAPH_LINES_MAX) return aligned;
  const names = header.filter((name) => name !== "").join(", ");
  return [
    names,
    ...rows.flatMap(([name = "", ...cells]) => [
      name,
      ...cells.flatMap((cell) =>
        cell === "" ? [] : wrap(cell, Math.max(1, columns - 4)).map((line) => `    ${line}`),
      ),
    ]),
  ];
}
