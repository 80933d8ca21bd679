// Fetches one program from the Debian archive without root and without touching the system's own
// apt state. The mirror is the one that the machine is already set up to use; nothing here names a
// host. Signatures are checked against the machine's Debian keyring. Other systems get no answer.

import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const APT_FOLDER = "/etc/apt";
const KEYRINGS = [
  "/usr/share/keyrings/debian-archive-keyring.gpg",
  "/usr/share/keyrings/debian-archive-keyring.pgp",
];
/** Newest first: the newest server is the best tested one. */
const SERIES = ["sid", "forky", "trixie"];
const UPDATE_DEADLINE_MS = 60_000;

/** The addresses of binary archives in a deb822 file (`*.sources`), without disabled stanzas. */
export function sourcesOfDeb822(text: string): string[] {
  return text.split(/\n[ \t]*\n/).flatMap((stanza) => {
    const fields = deb822Fields(stanza);
    const types = fields.get("types")?.split(/\s+/) ?? [];
    if (!types.includes("deb") || fields.get("enabled") === "no") return [];
    return fields.get("uris")?.split(/\s+/).filter(isArchive) ?? [];
  });
}

function deb822Fields(stanza: string): Map<string, string> {
  const fields = new Map<string, string>();
  let name = "";
  for (const line of stanza.split("\n")) {
    if (line.startsWith("#")) continue;
    const start = /^([A-Za-z-]+):\s*(.*)$/.exec(line);
    if (start !== null) name = start[1]!.toLowerCase();
    const text = (start?.[2] ?? line).trim();
    if (name !== "" && text !== "") {
      fields.set(name, [fields.get(name), text].filter(Boolean).join(" "));
    }
  }
  return fields;
}

/** The addresses of binary archives in a one-line-style file (`*.list`). */
export function sourcesOfList(text: string): string[] {
  return text.split("\n").flatMap((line) => {
    const match = /^\s*deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+\S/.exec(line);
    return match !== null && isArchive(match[1]!) ? [match[1]!] : [];
  });
}

/** Only a main archive carries sid; those for security and backports do not. */
function isArchive(uri: string): boolean {
  return /^(https?|file|mirror\+.*|copy):/.test(uri) && /\/debian\/?$/.test(uri);
}

/** Every main Debian archive that this machine's apt uses, in the order of its files. */
export function machineArchives(folder = APT_FOLDER): string[] {
  const found: string[] = [];
  const partsFolder = join(folder, "sources.list.d");
  const partFiles = existsSync(partsFolder) ? readdirSync(partsFolder).sort() : [];
  for (const file of [join(folder, "sources.list"), ...partFiles.map((f) => join(partsFolder, f))]) {
    if (!existsSync(file)) continue;
    const text = readFileSync(file, "utf8");
    if (file.endsWith(".sources")) found.push(...sourcesOfDeb822(text));
    if (file.endsWith(".list")) found.push(...sourcesOfList(text));
  }
  return [...new Set(found)];
}

/** A private apt configuration; a path in it must not hold a double quote. */
function writeAptFolder(folder: string, archive: string, series: string, keyring: string): string {
  for (const part of ["lists/partial", "cache/archives/partial"]) {
    mkdirSync(join(folder, part), { recursive: true });
  }
  writeFileSync(
    join(folder, "sources.list"),
    `deb [signed-by=${keyring}] ${archive} ${series} main\n`,
  );
  writeFileSync(join(folder, "status"), "");
  const settings = {
    "Dir::Etc::SourceList": join(folder, "sources.list"),
    "Dir::Etc::SourceParts": "/dev/null",
    "Dir::Etc::Preferences": "/dev/null",
    "Dir::Etc::PreferencesParts": "/dev/null",
    "Dir::State::Lists": join(folder, "lists"),
    "Dir::State::Status": join(folder, "status"),
    "Dir::Cache": join(folder, "cache"),
    // As root apt would drop to a user who cannot enter the checkout.
    ...(process.getuid?.() === 0 ? { "APT::Sandbox::User": "root" } : {}),
    "Acquire::Languages": "none",
    "Acquire::Retries": "2",
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name} "${value}";`);
  writeFileSync(join(folder, "apt.conf"), `${lines.join("\n")}\n`);
  return join(folder, "apt.conf");
}

export interface FetchedPackage {
  readonly series: string;
  /** The folder into which the package was unpacked. */
  readonly folder: string;
}

/**
 * Downloads and unpacks a package from the newest series that has it, trying each archive of this
 * machine. `accepts` looks at the unpacked folder; a refused package leads on to the next series.
 * Resolves to null and tells `say` why when no archive gave an accepted one.
 */
export async function fetchDebianPackage(
  name: string,
  workFolder: string,
  accepts: (folder: string) => boolean,
  say: (line: string) => void,
): Promise<FetchedPackage | null> {
  const keyring = KEYRINGS.find((file) => existsSync(file));
  const archives = machineArchives();
  if (keyring === undefined || archives.length === 0) {
    say("this machine has no Debian archive in its apt settings");
    return null;
  }
  for (const archive of archives) {
    for (const series of SERIES) {
      const folder = join(workFolder, series);
      try {
        await downloadAndUnpack(name, folder, writeAptFolder(folder, archive, series, keyring));
      } catch (error) {
        say(`${name} from Debian ${series}: ${firstLine(error)}`);
        continue;
      }
      const unpacked = join(folder, "unpacked");
      if (accepts(unpacked)) return { series, folder: unpacked };
    }
  }
  return null;
}

async function downloadAndUnpack(name: string, folder: string, config: string): Promise<void> {
  const options = {
    cwd: folder,
    env: { ...process.env, APT_CONFIG: config, LC_ALL: "C" },
    timeout: UPDATE_DEADLINE_MS,
  };
  await run("apt-get", ["update", "--quiet=2"], options);
  await run("apt-get", ["download", "--quiet=2", name], options);
  const file = readdirSync(folder).find((f) => f.startsWith(`${name}_`) && f.endsWith(".deb"));
  if (file === undefined) throw new Error("apt-get download left no file");
  await run("dpkg", ["-x", join(folder, file), join(folder, "unpacked")], options);
}

/** The line of a failed command that says most: apt's own error line when there is one. */
function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  return (lines.find((line) => line.startsWith("E:")) ?? lines[0] ?? "failed").trim();
}
