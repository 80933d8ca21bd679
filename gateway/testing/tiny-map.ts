/**
 * A map for tests, made here: a PMTiles archive (version 3) around one place, in which every tile
 * has the same few streets and a park, in the layers of the Protomaps schema. Enough for the page
 * to draw, and no data of anybody's.
 */
import { writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { streetsTile, tileIdOf, varints } from "./tiny-tile.ts";
import type { LngLat } from "../../proto/geo.ts";

const [MIN_ZOOM, MAX_ZOOM, AROUND_DEG] = [10, 14, 0.06];
const HEADER_BYTES = 127;
const [GZIP, MVT] = [2, 1];

/** Writes the archive. */
export function writeTinyMap(file: string, middle: LngLat): void {
  const tile = gzipSync(streetsTile());
  const bounds = [
    ...[middle.lng - AROUND_DEG, middle.lat - AROUND_DEG],
    ...[middle.lng + AROUND_DEG, middle.lat + AROUND_DEG],
  ] as const;
  const ids = tileIds(bounds).toSorted((a, b) => a - b);
  const steps = ids.map((id, i) => id - (ids[i - 1] ?? 0));
  // Number, steps of the ids, run lengths, lengths, offsets (plus one): all tiles are the one at
  // offset 0.
  const same = (value: number): number[] => ids.map(() => value);
  const columns = [[ids.length], steps, same(1), same(tile.length), same(1)];
  const directory = gzipSync(varints(columns.flat()));
  const metadata = gzipSync(JSON.stringify({ name: "tiny" }));

  const header = Buffer.alloc(HEADER_BYTES);
  header.write("PMTiles", 0, "latin1");
  header.writeUInt8(3, 7);
  const metadataAt = HEADER_BYTES + directory.length;
  const dataAt = metadataAt + metadata.length;
  const sizes = [
    ...[HEADER_BYTES, directory.length, metadataAt, metadata.length, dataAt, 0],
    ...[dataAt, tile.length, ids.length, ids.length, 1],
  ];
  sizes.forEach((size, i) => header.writeBigUInt64LE(BigInt(size), 8 + i * 8));
  // Clustered or not, compression inside, compression of tiles, type, zooms.
  [0, GZIP, GZIP, MVT, MIN_ZOOM, MAX_ZOOM].forEach((byte, i) => header.writeUInt8(byte, 96 + i));
  bounds.forEach((degrees, i) => header.writeInt32LE(Math.round(degrees * 1e7), 102 + i * 4));
  writeFileSync(file, Buffer.concat([header, directory, metadata, tile]));
}

function tileIds([west, south, east, north]: readonly [number, number, number, number]): number[] {
  const ids: number[] = [];
  for (let z = MIN_ZOOM; z <= MAX_ZOOM; z++) {
    const [left, top] = cellOf(west, north, z);
    const [right, bottom] = cellOf(east, south, z);
    for (let x = left; x <= right; x++) {
      for (let y = top; y <= bottom; y++) ids.push(tileIdOf(z, x, y));
    }
  }
  return ids;
}

/** Column and row of a place at a zoom (Web Mercator). */
function cellOf(lng: number, lat: number, z: number): [number, number] {
  const rad = (lat * Math.PI) / 180;
  const down = (1 - Math.log(Math.tan(rad) + 1 / Math.cos(rad)) / Math.PI) / 2;
  return [Math.floor(((lng + 180) / 360) * 2 ** z), Math.floor(down * 2 ** z)];
}
