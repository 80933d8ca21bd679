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
const COMMAND_DEADLINE_MS = 60_000;
const TREE_DEADLINE_MS = 240_000;
const ARCHIVES_MAX = 3;

/** The addresses of binary archives in a deb822 file (`*.sources`), without disabled stanzas. */
export function archivesOfDeb822(text: string): string[] {
  return text.split(/\n[ \t]*\n/).flatMap((stanza) => {
    const fields = deb822Fields(stanza);
    const words = (name: string): string[] => fields.get(name)?.split(/\s+/) ?? [];
    if (!words("types").includes("deb") || fields.get("enabled") === "no") return [];
    if (!words("components").includes("main") || words("suites").every(isSecurity)) return [];
    return words("uris");
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
export function archivesOfList(text: string): string[] {
  return text.split("\n").flatMap((line) => {
    const match = /^\s*deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+(.*)$/.exec(line);
    if (match === null || !match[3]!.split(/\s+/).includes("main")) return [];
    return isSecurity(match[2]!) ? [] : [match[1]!];
  });
}

/** The security archive is a separate one and has no unstable series. */
const isSecurity = (suite: string): boolean => /-security$|\/updates$/.test(suite);

/** Every archive that this machine's apt uses, those that look like Debian's own first. */
export function machineArchives(folder = APT_FOLDER): string[] {
  const found: string[] = [];
  const partsFolder = join(folder, "sources.list.d");
  const partFiles = existsSync(partsFolder) ? readdirSync(partsFolder).sort() : [];
  for (const file of [
    join(folder, "sources.list"),
    ...partFiles.map((f) => join(partsFolder, f)),
  ]) {
    if (!existsSync(file)) continue;
    const text = readFileSync(file, "utf8");
    if (file.endsWith(".sources")) found.push(...archivesOfDeb822(text));
    if (file.endsWith(".list")) found.push(...archivesOfList(text));
  }
  const looksForeign = (uri: string): number => (/\/debian\/?$/.test(uri) ? 0 : 1);
  return [...new Set(found)].sort((a, b) => looksForeign(a) - looksForeign(b));
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
    "Acquire::Retries": "1",
    "Acquire::http::Timeout": "15",
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name} "${value}";`);
  writeFileSync(join(folder, "apt.conf"), `${lines.join("\n")}\n`);
  return join(folder, "apt.conf");
}

/**
 * Downloads and unpacks a package and resolves to its folder: from the newest series that has it in
 * an archive of this machine, else with the machine's own apt settings as they are. `accepts` looks
 * at the unpacked folder; a refused package leads on to the next source. Resolves to null, having
 * told `say` why, when no source gave an accepted one.
 */
export async function fetchDebianPackage(
  name: string,
  workFolder: string,
  accepts: (folder: string) => boolean,
  say: (line: string) => void,
): Promise<string | null> {
  for (const source of aptSources(workFolder)) {
    mkdirSync(source.folder, { recursive: true });
    try {
      const unpacked = await downloadAndUnpack(name, source.folder, source.prepare());
      if (accepts(unpacked)) return unpacked;
      say(`${name} from ${source.label} is too old`);
    } catch (error) {
      say(`${name} from ${source.label}: ${firstLine(error)}`);
    }
  }
  return null;
}

/**
 * Downloads a package and all that it needs and that this machine lacks, from the machine's own
 * archives (libraries must fit its C library), and unpacks everything into one folder, to which it
 * resolves. Rejects with apt's own word.
 */
export async function fetchWithDependencies(name: string, workFolder: string): Promise<string> {
  const lines = [
    `Dir::State::Lists "${join(workFolder, "lists")}";`,
    `Dir::Cache "${join(workFolder, "cache")}";`,
    'Debug::NoLocking "true";',
    'Acquire::Languages "none";',
    ...(process.getuid?.() === 0 ? ['APT::Sandbox::User "root";'] : []),
  ];
  for (const part of ["lists/partial", "cache/archives/partial"]) {
    mkdirSync(join(workFolder, part), { recursive: true });
  }
  const config = join(workFolder, "apt.conf");
  writeFileSync(config, `${lines.join("\n")}\n`);
  const env = { ...process.env, APT_CONFIG: config, LC_ALL: "C" };
  const options = { cwd: workFolder, env, timeout: TREE_DEADLINE_MS };
  await run("apt-get", ["update", "--quiet=2"], options);
  const only = ["--download-only", "--no-install-recommends"];
  await run("apt-get", ["install", "--quiet=2", "--yes", ...only, name], options);
  const archives = join(workFolder, "cache/archives");
  const unpacked = join(workFolder, "unpacked");
  for (const file of readdirSync(archives).filter((entry) => entry.endsWith(".deb"))) {
    await run("dpkg", ["-x", join(archives, file), unpacked], options);
  }
  return unpacked;
}

interface AptSource {
  readonly label: string;
  readonly folder: string;
  /** Writes what apt needs and gives the configuration file, null for the machine's own. */
  readonly prepare: () => string | null;
}

function aptSources(workFolder: string): AptSource[] {
  if (!existsSync(APT_FOLDER)) return [];
  const keyring = KEYRINGS.find((file) => existsSync(file));
  const archives = keyring === undefined ? [] : machineArchives().slice(0, ARCHIVES_MAX);
  const sources = archives.flatMap((archive, number) =>
    SERIES.map((series) => {
      const folder = join(workFolder, `${number}-${series}`);
      const prepare = (): string => writeAptFolder(folder, archive, series, keyring!);
      return { label: `Debian ${series}`, folder, prepare };
    }),
  );
  const own = { label: "this machine's apt", folder: join(workFolder, "own"), prepare: () => null };
  return [...sources, own];
}

async function downloadAndUnpack(
  name: string,
  folder: string,
  config: string | null,
): Promise<string> {
  const own = config === null ? {} : { APT_CONFIG: config };
  const options = {
    cwd: folder,
    env: { ...process.env, ...own, LC_ALL: "C" },
    timeout: COMMAND_DEADLINE_MS,
  };
  if (config !== null) await run("apt-get", ["update", "--quiet=2"], options);
  await run("apt-get", ["download", "--quiet=2", name], options);
  const file = readdirSync(folder).find((f) => f.startsWith(`${name}_`) && f.endsWith(".deb"));
  if (file === undefined) throw new Error("apt-get download left no file");
  const unpacked = join(folder, "unpacked");
  await run("dpkg", ["-x", join(folder, file), unpacked], options);
  return unpacked;
}

/** The line of a failed command that says most: apt's own error line when there is one. */
function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  return (lines.find((line) => line.startsWith("E:")) ?? lines[0] ?? "failed").trim();
}
