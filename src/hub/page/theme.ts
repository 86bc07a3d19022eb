/** Light or dark: as the system says, until the reader says otherwise. */
import { signal } from "@preact/signals";

export const themes = ["system", "light", "dark"] as const;
export type Theme = (typeof themes)[number];

const KEY = "node-x-theme";

function stored(): Theme {
  try {
    return themes.find((name) => name === localStorage.getItem(KEY)) ?? "system";
  } catch {
    return "system"; // the browser keeps nothing for us
  }
}

export const theme = signal<Theme>(stored());

export function applyTheme(chosen: Theme): void {
  theme.value = chosen;
  if (chosen === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
  try {
    localStorage.setItem(KEY, chosen);
  } catch {
    // It holds until the page is closed.
  }
}
