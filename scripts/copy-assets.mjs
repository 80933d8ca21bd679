// The part of the build that the compiler leaves undone: files that the code reads at run time (SQL
// migrations, pages, styles, JSON) are copied to the same place below dist/. Last of all it writes
// the stamp by which start.mjs knows how old the build is.

import fs from "fs";
import path from "path";
import { root } from "./bootstrap.mjs";

/** Where assets are looked for, and which endings count as one there. */
const ASSETS = [
  { folder: "engine/sql", endings: [".sql"] },
  { folder: "proto", endings: [".json"] },
  { folder: "gateway", endings: [".html", ".css", ".js", ".json", ".svg", ".png", ".woff2"] },
  { folder: "scripts/replay", endings: [".html", ".css", ".js", ".json", ".svg", ".png"] },
];

function filesBelow(folder) {
  if (!fs.existsSync(folder)) return [];
  return fs.readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const full = path.join(folder, entry.name);
    return entry.isDirectory() ? filesBelow(full) : [full];
  });
}

for (const { folder, endings } of ASSETS) {
  for (const file of filesBelow(path.join(root, folder))) {
    if (!endings.includes(path.extname(file))) continue;
    const target = path.join(root, "dist", path.relative(root, file));
    fs.mkdirSync(path.dirname(target), { recursive: true });
    fs.copyFileSync(file, target);
  }
}
fs.writeFileSync(path.join(root, "dist", ".built"), "");
