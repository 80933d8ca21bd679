// Prints one signed token: `npm run -s token -- --role courier --sub cur_1 [--ttl 8h]`. Standard
// output carries the token and nothing else, so that a shell can take it; every complaint is one
// line on standard error and exit code 2. Tracking tokens are made by the server alone.

import { signToken } from "../gateway/token.ts";
import { authKey, stateFolder } from "./run/state.ts";
import { USAGE, parseTokenArgs } from "./run/token-args.ts";

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

const request = parseTokenArgs(process.argv.slice(2));
if (typeof request === "string") refuse(`${request}; usage: ${USAGE}`);
process.stdout.write(`${await signToken(request, keyOrRefuse())}\n`);
