/** Columns of text for a terminal: every column as wide as its widest cell, measured in cells of the terminal. */

/** Pads every column to its widest cell; `right` lists the columns that are aligned to the right. */
export function alignColumns(
  rows: readonly (readonly string[])[],
  gap = "  ",
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
