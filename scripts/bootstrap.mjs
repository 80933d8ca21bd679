// What has to be true before any TypeScript of this project can run: a Node that works, the
// packages of the lock file, and (for `npm start`) a fresh dist/. It is shared by start.mjs and
// test.mjs, so that a bare clone is set up in one way only. Built-ins alone, and a syntax that old
// Node versions still parse: the one line that names the right versions must reach their users.

import childProcess from "child_process";
import fs from "fs";
import path from "path";
import { fileURLToPath } from "url";

/** The checkout: the folder above scripts/. */
export const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

/** The folders whose code ends up in dist/, and the files that decide how. */
const SOURCE_FOLDERS = ["actors", "engine", "gateway", "proto", "scripts", "sdk", "bench", "sim"];
const BUILD_FILES = ["tsconfig.json", "tsconfig.build.json", "package.json"];
/** Written last by copy-assets.mjs; its age is the age of the build. */
const BUILD_STAMP = path.join("dist", ".built");

/** A failure that is the user's to mend; it is shown as its message alone, without a stack. */
export class SetupError extends Error {}

const say = (line) => process.stdout.write(line + "\n");

const END_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"];
/** How often it is looked whether npm still lives, ms. */
const PARENT_LOOK_MS = 500;
/** npm may take so long to end, ms. */
const NPM_END_MS = 5000;
/** The npm that runs at the moment; null: none. */
let runningNpm = null;

/** A closed pipe or terminal costs the lines that nobody reads, and never this process. */
function outliveReaders() {
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
}

/**
 * Started by npm, this process goes when npm goes: a service manager that ends npm means all of it,
 * and npm does not pass every signal on. Whoever starts it otherwise (a shell, setsid) may go and
 * leave it running.
 */
function followParent() {
  if (!process.env.npm_lifecycle_event) return;
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    say("npm has ended: everything is stopped");
    process.kill(process.pid, "SIGTERM");
  }, PARENT_LOOK_MS);
  timer.unref();
}

/**
 * From the first line on a signal ends what the set-up has running and then this process. Returns
 * the function that hands signals over to somebody else.
 */
export function endOnSignals() {
  outliveReaders();
  followParent();
  let isEnding = false;
  const onSignal = (signal) => {
    // Under nohup the end of the terminal is none of ours; scripts/run/terminal.ts says more.
    if (isEnding || (signal === "SIGHUP" && /(^|\/)nohup$/.test(process.env._ || ""))) return;
    isEnding = true;
    const npm = runningNpm;
    if (npm === null) process.exit(0);
    npm.removeAllListeners("exit");
    npm.on("exit", () => process.exit(0));
    signalGroup(npm, "SIGTERM");
    setTimeout(() => {
      signalGroup(npm, "SIGKILL");
      process.exit(0);
    }, NPM_END_MS);
  };
  for (const signal of END_SIGNALS) process.on(signal, onSignal);
  return () => {
    for (const signal of END_SIGNALS) process.removeListener(signal, onSignal);
  };
}

/** npm and all that it started. */
function signalGroup(child, signal) {
  try {
    process.kill(-child.pid, signal);
  } catch (error) {
    if (error.code !== "ESRCH") throw error;
  }
}

const parts = (version) =>
  version.replace(/^v/, "").split("-")[0].split(".").map(Number).concat(0, 0).slice(0, 3);

function isBelow(left, right) {
  for (let i = 0; i < 3; i += 1) {
    if (left[i] !== right[i]) return left[i] < right[i];
  }
  return false;
}

/**
 * Whether `version` lies in an `engines` range made of `^a.b.c` and `>=a.b.c` joined by `||`.
 * Anything else in the range is refused, so that package.json cannot outgrow this reader.
 */
export function satisfies(version, range) {
  const have = parts(version);
  return range.split("||").some((term) => {
    const match = /^\s*(\^|>=)\s*(\d+\.\d+\.\d+)\s*$/.exec(term);
    if (match === null) throw new Error("engines.node has a form that is not understood: " + term);
    const floor = parts(match[2]);
    if (isBelow(have, floor)) return false;
    return match[1] === ">=" || have[0] === floor[0];
  });
}

/** Throws a SetupError of one line when this Node is none that package.json allows. */
export function checkNode(version = process.version) {
  const manifest = JSON.parse(fs.readFileSync(path.join(root, "package.json"), "utf8"));
  const range = manifest.engines.node;
  if (satisfies(version, range)) return;
  throw new SetupError(
    "hexdispatch needs Node " +
      range +
      " and this is " +
      version +
      ": install Node 22 LTS, e.g. `nvm install 22`, `fnm use --install-if-missing 22`, or the" +
      " package of https://nodejs.org/en/download",
  );
}

/**
 * The packages that the lock file names and node_modules lacks or has in another version. Contents
 * are compared, not file times, since `git clone` and `git pull` set times as they like. Optional
 * packages (binaries for other platforms) may be absent.
 */
export function outdatedPackages(lock, installed) {
  const names = Object.keys(lock.packages).filter((name) => name !== "");
  return names.filter((name) => {
    const wanted = lock.packages[name];
    const found = installed.packages[name];
    if (found === undefined) return wanted.optional !== true && wanted.devOptional !== true;
    return found.version !== wanted.version || found.integrity !== wanted.integrity;
  });
}

function readJson(file) {
  try {
    return JSON.parse(fs.readFileSync(file, "utf8"));
  } catch (error) {
    if (error.code === "ENOENT") return null;
    throw error;
  }
}

/** npm as this process was started by it, else the one on the PATH. */
function npmCommand(args) {
  const cli = process.env.npm_execpath || "";
  return /npm-cli\.[cm]?js$/.test(cli) ? [process.execPath, [cli].concat(args)] : ["npm", args];
}

/**
 * Runs npm with the terminal as its output; a line every ten seconds says that it still works when
 * nobody sees npm's own spinner. Resolves to the exit code.
 */
function runNpm(args, what) {
  const started = Date.now();
  const command = npmCommand(args);
  return new Promise((resolve, reject) => {
    // A group of its own, so that it can be ended with all that it starts.
    const options = { cwd: root, stdio: "inherit", detached: process.platform !== "win32" };
    const child = childProcess.spawn(command[0], command[1], options);
    runningNpm = child;
    const seconds = () => Math.round((Date.now() - started) / 1000);
    const ticker = setInterval(() => {
      if (!process.stdout.isTTY) say(what + " ... " + seconds() + " s");
    }, 10000);
    child.on("error", (error) => {
      clearInterval(ticker);
      runningNpm = null;
      reject(new SetupError("npm could not be run: " + error.message));
    });
    child.on("exit", (code) => {
      clearInterval(ticker);
      runningNpm = null;
      resolve(code === null ? 1 : code);
    });
  });
}

/** Installs the packages of the lock file when node_modules differs from it. */
export async function ensureDependencies() {
  const lock = readJson(path.join(root, "package-lock.json"));
  if (lock === null) throw new SetupError("package-lock.json is missing: this is no full checkout");
  const installed = readJson(path.join(root, "node_modules", ".package-lock.json"));
  if (installed !== null && outdatedPackages(lock, installed).length === 0) return;
  say(
    installed === null
      ? "installing the packages of package-lock.json (npm ci) ..."
      : "package-lock.json has changed: installing its packages (npm ci) ...",
  );
  // `--include=dev`: with NODE_ENV=production npm would leave out the compiler and Postgres.
  const flags = ["ci", "--include=dev", "--no-audit", "--no-fund", "--loglevel=error"];
  const code = await runNpm(flags, "npm ci");
  if (code === 0) return;
  throw new SetupError(
    "npm ci failed (exit " + code + "): is the package registry within reach of this machine?",
  );
}

/** The newest change below `folder` in ms since 1970, 0 when there is nothing. */
function newestChangeMs(folder) {
  let newest = 0;
  for (const entry of fs.readdirSync(folder, { withFileTypes: true })) {
    const full = path.join(folder, entry.name);
    const changed = entry.isDirectory() ? newestChangeMs(full) : fs.statSync(full).mtimeMs;
    newest = Math.max(newest, changed);
  }
  return newest;
}

function buildIsFresh() {
  const stamp = path.join(root, BUILD_STAMP);
  if (!fs.existsSync(stamp)) return false;
  const folders = SOURCE_FOLDERS.map((name) => path.join(root, name)).filter(fs.existsSync);
  const files = BUILD_FILES.map((name) => fs.statSync(path.join(root, name)).mtimeMs);
  const newest = Math.max(...folders.map(newestChangeMs), ...files);
  return newest <= fs.statSync(stamp).mtimeMs;
}

/** Compiles to dist/ when a source is newer than the last build. */
export async function ensureBuilt() {
  if (buildIsFresh()) return;
  say("building dist/ (npm run build) ...");
  const started = new Date();
  const code = await runNpm(["run", "--silent", "build"], "npm run build");
  if (code !== 0) throw new SetupError("the build failed (exit " + code + "), see above");
  // Dated back to the start: a source saved while the compiler ran is newer than the build.
  fs.utimesSync(path.join(root, BUILD_STAMP), started, started);
}

/** Runs `main`; a SetupError ends the process with its one line, any other error with its stack. */
export function runMain(main) {
  main().catch((error) => {
    process.stderr.write((error instanceof SetupError ? error.message : error.stack) + "\n");
    process.exit(1);
  });
}
