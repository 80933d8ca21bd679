// Prints one signed token: `npm run -s token -- --role courier --sub cur_1 [--ttl 8h]`, or throws a
// principal out of the running system: `npm run -s token -- revoke --role courier --sub cur_1`.
// Standard output carries the token and nothing else, so that a shell can take it; every complaint
// is one line on standard error and exit code 2. Tracking tokens are made by the server alone.

import { signToken } from "../gateway/token.ts";
import { RememberedPorts, authKey, stateFolder } from "./run/state.ts";
import { USAGE, parseRevokeArgs, parseTokenArgs } from "./run/token-args.ts";

function refuse(why: string): never {
  process.stderr.write(`${why}\n`);
  process.exit(2);
}

function keyOrRefuse(): string {
  try {
    return authKey(stateFolder());
  } catch (error) {
    return refuse((error as Error).message);
  }
}

/** Asks the running gateway, as an operator: it is the one who tells the others. */
async function revoke(args: readonly string[]): Promise<void> {
  const what = parseRevokeArgs(args);
  if (typeof what === "string") return refuse(`${what}; usage: ${USAGE}`);
  const remembered = new RememberedPorts(stateFolder()).get("public");
  const port = process.env["HEXDISPATCH_PUBLIC_PORT"] || remembered || 8080;
  const operator = await signToken({ role: "operator", sub: "ops_cli", ttlS: 60 }, keyOrRefuse());
  const answer = await fetch(`http://127.0.0.1:${port}/v1/revocations`, {
    method: "POST",
    headers: { authorization: `Bearer ${operator}`, "content-type": "application/json" },
    body: JSON.stringify(what),
  }).catch(() => refuse(`no gateway answers on port ${port}`));
  if (!answer.ok) refuse(`refused with ${answer.status}: ${await answer.text()}`);
  process.stdout.write("revoked\n");
  process.exit(0);
}

if (process.argv[2] === "revoke") await revoke(process.argv.slice(3));
const request = parseTokenArgs(process.argv.slice(2));
if (typeof request === "string") refuse(`${request}; usage: ${USAGE}`);
process.stdout.write(`${await signToken(request, keyOrRefuse())}\n`);
