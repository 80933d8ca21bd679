// A certification authority of a test's own, and certificates by it: made anew each time, so that
// no private key lies in the repository and none expires there.

import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { cacheFolder, projectRoot, stateFolder } from "../run/state.ts";
import { OPENSSL, findDebianProgram } from "../services/debian-program.ts";
import { SetupError } from "../services/process.ts";

const run = promisify(execFile);
const DAYS = "2";

export interface Certificate {
  readonly cert: string;
  readonly key: string;
  readonly certFile: string;
  readonly keyFile: string;
}

export interface Authority extends Certificate {
  /** A certificate for a name; `alternatives` as in openssl, e.g. `DNS:localhost,IP:127.0.0.1`. */
  readonly issue: (name: string, alternatives: string) => Promise<Certificate>;
}

/** Makes one in `folder`; `name` keeps several apart. */
export async function makeAuthority(folder: string, name: string): Promise<Authority> {
  const found = await findDebianProgram(OPENSSL, cacheFolder(stateFolder(projectRoot())), () => {});
  if (found === null) throw new SetupError("openssl is not to be had on this machine");
  const openssl = (...args: readonly string[]) => run(found, [...args], { cwd: folder });
  const path = (file: string): string => join(folder, file);
  const read = (of: string): Certificate => {
    const [certFile, keyFile] = [path(`${of}.pem`), path(`${of}.key`)];
    const text = (file: string): string => readFileSync(file, "utf8");
    return { cert: text(certFile), key: text(keyFile), certFile, keyFile };
  };
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  await openssl(
    ...["req", "-x509", ...newKey, "-days", DAYS, "-subj", `/CN=${name}`],
    ...["-keyout", path(`${name}.key`), "-out", path(`${name}.pem`)],
  );
  return {
    ...read(name),
    async issue(subject, alternatives) {
      const of = `${name}-${subject}`;
      await openssl(
        ...["req", ...newKey, "-subj", `/CN=${subject}`],
        ...["-keyout", path(`${of}.key`), "-out", path(`${of}.csr`)],
      );
      writeFileSync(path(`${of}.ext`), `subjectAltName=${alternatives}\n`);
      await openssl(
        ...["x509", "-req", "-in", path(`${of}.csr`), "-days", DAYS, "-CAcreateserial"],
        ...["-CA", path(`${name}.pem`), "-CAkey", path(`${name}.key`)],
        ...["-extfile", path(`${of}.ext`), "-out", path(`${of}.pem`)],
      );
      return read(of);
    },
  };
}
