/**
 * The street map behind the tracking page: tiles cut out of a PMTiles archive of the city folder,
 * and the two scripts of MapLibre that draw them, all served by us. Everything is gzipped once and
 * kept within a bound; names carry what the bytes depend on, so that a browser may keep them for
 * ever.
 */
import { createHash } from "node:crypto";
import { open, readFile, readdir } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { gzip as gzipCallback } from "node:zlib";
import { LRUCache } from "lru-cache";
import { PMTiles, TileType } from "pmtiles";
import type { Header, Source } from "pmtiles";
import { CITY_FOLDER_DEPTH_MAX, MAP_CACHE_BYTES } from "../../proto/limits.ts";

const gzip = promisify(gzipCallback);
const require = createRequire(import.meta.url);

/** A file to serve, gzipped. */
export type MapFile = { readonly type: string; readonly gzipped: Uint8Array };
/** What a page must know to draw it. */
export type MapFacts = {
  /** Changes with the archive. */
  readonly tag: string;
  /** Of the scripts. */
  readonly version: string;
  /** West, south, east, north: beyond it there are no streets. */
  readonly bounds: readonly [number, number, number, number];
  readonly minZoom: number;
  readonly maxZoom: number;
};
export type CityMap = {
  readonly facts: MapFacts;
  /**
   * A script or a tile by the name it has on the page; null: there is none. Rejects when the
   * archive cannot be read.
   */
  readonly file: (name: string) => Promise<MapFile | null>;
  readonly close: () => Promise<void>;
};

const TILE_NAME = /^([\w-]{10})-(\d{1,2})-(\d{1,8})-(\d{1,8})\.mvt$/;
const SCRIPTS = { script: "maplibre-gl-csp.js", worker: "maplibre-gl-csp-worker.js" } as const;

/**
 * The names under which a page asks for the scripts; `{z}-{x}-{y}` of a tile are filled in by the
 * library.
 */
export const mapNames = ({ tag, version }: Pick<MapFacts, "tag" | "version">) => ({
  script: `map-${version}.js`,
  worker: `worker-${version}.js`,
  tiles: `${tag}-{z}-{x}-{y}.mvt`,
});

/**
 * The first archive of the folder in path order, opened; null when there is none. Rejects when it
 * is no vector map.
 */
export async function openCityMap(dir: string | null): Promise<CityMap | null> {
  const path = dir === null ? null : await findArchive(dir, CITY_FOLDER_DEPTH_MAX);
  if (path === null) return null;
  const handle = await open(path, "r");
  try {
    const { size, mtimeMs } = await handle.stat();
    const tag = createHash("sha256").update(`${size} ${mtimeMs}`).digest("base64url").slice(0, 10);
    const archive = new PMTiles(sourceOf(handle, path));
    const header = await archive.getHeader();
    if (header.tileType !== TileType.Mvt) throw new Error(`${path} holds no vector tiles`);
    return cityMap(archive, factsOf(header, tag), () => handle.close());
  } catch (error) {
    await handle.close();
    throw error;
  }
}

function factsOf(header: Header, tag: string): MapFacts {
  const { version } = require("maplibre-gl/package.json") as { version: string };
  const { minLon, minLat, maxLon, maxLat, minZoom, maxZoom } = header;
  return { tag, version, bounds: [minLon, minLat, maxLon, maxLat], minZoom, maxZoom };
}

function cityMap(archive: PMTiles, facts: MapFacts, close: () => Promise<void>): CityMap {
  const kept = new LRUCache<string, MapFile>({
    maxSize: MAP_CACHE_BYTES,
    sizeCalculation: ({ gzipped }) => gzipped.byteLength + 1,
  });
  const names = mapNames(facts);
  const folder = dirname(require.resolve("maplibre-gl/package.json"));
  const read = async (name: string): Promise<MapFile | null> => {
    for (const key of ["script", "worker"] as const) {
      if (name !== names[key]) continue;
      const text = await readFile(join(folder, "dist", SCRIPTS[key]));
      return { type: "text/javascript; charset=utf-8", gzipped: await gzip(text, { level: 9 }) };
    }
    const at = tileOf(name, facts);
    const tile = at === null ? undefined : await archive.getZxy(...at);
    if (tile === undefined) return null;
    return { type: "application/vnd.mapbox-vector-tile", gzipped: await gzip(tile.data) };
  };
  return {
    facts,
    close,
    async file(name) {
      const known = kept.get(name);
      if (known !== undefined) return known;
      const file = await read(name);
      if (file !== null) kept.set(name, file);
      return file;
    },
  };
}

/** Zoom, column and row, when the name is that of a tile which this archive may hold. */
function tileOf(name: string, { tag, maxZoom }: MapFacts): [number, number, number] | null {
  const match = TILE_NAME.exec(name);
  if (match === null || match[1] !== tag) return null;
  const [z, x, y] = [Number(match[2]), Number(match[3]), Number(match[4])];
  return z <= maxZoom && x < 2 ** z && y < 2 ** z ? [z, x, y] : null;
}

const sourceOf = (handle: FileHandle, path: string): Source => ({
  getKey: () => path,
  async getBytes(offset, length) {
    const data = new Uint8Array(length);
    const { bytesRead } = await handle.read(data, 0, length, offset);
    return { data: data.buffer.slice(0, bytesRead) };
  },
});

async function findArchive(dir: string, depth: number): Promise<string | null> {
  const entries = await readdir(dir, { withFileTypes: true });
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  const file = entries.find((entry) => !entry.isDirectory() && entry.name.endsWith(".pmtiles"));
  if (file !== undefined) return join(dir, file.name);
  for (const entry of depth > 0 ? entries : []) {
    if (!entry.isDirectory()) continue;
    const found = await findArchive(join(dir, entry.name), depth - 1);
    if (found !== null) return found;
  }
  return null;
}
