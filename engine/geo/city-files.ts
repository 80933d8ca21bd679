/**
 * Finds and reads the CSV files of a city folder (HEXDISPATCH_CITY_DIR). A file may lie at any
 * depth, plain or gzipped; of several with one name the first in path order counts. It knows no
 * meaning of any column.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { parse } from "csv-parse/sync";

const DEPTH_MAX = 8;
const gunzipAsync = promisify(gunzip);

/** Path of `name` or `name`.gz below `dir`, or null. Throws when the folder cannot be read. */
export async function findCityFile(dir: string, name: string): Promise<string | null> {
  return find(dir, [name, `${name}.gz`], DEPTH_MAX);
}

async function find(dir: string, names: readonly string[], depth: number): Promise<string | null> {
  const entries = await readdir(dir, { withFileTypes: true });
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  const file = entries.find((entry) => !entry.isDirectory() && names.includes(entry.name));
  if (file !== undefined) return join(dir, file.name);
  if (depth === 0) return null;
  for (const entry of entries) {
    if (!entry.isDirectory()) continue;
    const found = await find(join(dir, entry.name), names, depth - 1);
    if (found !== null) return found;
  }
  return null;
}

/** The text of a file, unzipped if its name ends in .gz. */
export async function readCityFile(path: string): Promise<string> {
  const bytes = await readFile(path);
  return (path.endsWith(".gz") ? await gunzipAsync(bytes) : bytes).toString("utf8");
}

/**
 * The rows of a CSV text with a header, cut to `columns` in that order; other columns are ignored.
 * Throws when a column is missing or the text is no CSV: a broken city folder must be seen at
 * start.
 */
export function parseCityCsv(text: string, columns: readonly string[]): string[][] {
  const options = { bom: true, relax_column_count: true, skip_empty_lines: true };
  const [header = [], ...rows]: string[][] = parse(text, options);
  const places = columns.map((column) => header.indexOf(column));
  const missing = columns.filter((_, i) => places[i] === -1);
  if (missing.length > 0) throw new Error(`the CSV has no column ${missing.join(", ")}`);
  return rows.map((row) => places.map((place) => row[place] ?? ""));
}
