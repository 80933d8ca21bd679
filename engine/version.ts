/** The version in package.json, which lies one folder up in the source and two in dist/. */
import { existsSync, readFileSync } from "node:fs";

/** "unknown" when there is no package.json, in a container that left it out. */
export function readVersion(): string {
  const files = ["../package.json", "../../package.json"].map((p) => new URL(p, import.meta.url));
  const file = files.find((url) => existsSync(url));
  if (file === undefined) return "unknown";
  const { version } = JSON.parse(readFileSync(file, "utf8")) as { version?: unknown };
  return typeof version === "string" ? version : "unknown";
}
