/**
 * The page's files, embedded in the executable: scripts and styles under names that have their digest.
 */
import { type Asset, pageFiles } from "../core/sockets/asset.ts";
import script from "../../dist/hub/page.js.txt" with { type: "text" };
import templateText from "./page/index.html" with { type: "text" };
import baseStyle from "./page/styles/base.css" with { type: "text" };
import pageStyle from "./page/styles/pages.css" with { type: "text" };
import partStyle from "./page/styles/parts.css" with { type: "text" };
import shellStyle from "./page/styles/shell.css" with { type: "text" };

// The declared type of an HTML import is that of a bundler's entry point; as text it is a string.
const template = templateText as unknown as string;
const style = [baseStyle, shellStyle, partStyle, pageStyle].join("\n");

/** Assets by path. */
export function pageAssets(): Map<string, Asset> {
  const { page, files } = pageFiles("page", { template, script, style });
  return new Map([["/", page], ...files]);
}
