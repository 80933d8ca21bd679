// What the scripts that supervise say to people. A terminal that was closed or a reader that went
// away (`npm start | head`) costs the lines and nothing else: what runs goes on.

import { Output } from "../../engine/io/output.ts";

let standard: Output | null = null;
let errors: Output | null = null;

/** A line on standard output. */
export function say(line: string): void {
  standard ??= new Output(1);
  standard.write(`${line}\n`);
}

/** A line on standard error. */
export function complain(line: string): void {
  errors ??= new Output(2);
  errors.write(`${line}\n`);
}

/**
 * Whether this was started by `nohup`, i.e. told to outlive its terminal. Node sets the signals
 * that nohup ignores back to their usual effect, so its other traces are looked for: the name of
 * the command, and its output file.
 */
export function isNohup(env: NodeJS.ProcessEnv, outputFile: string | null): boolean {
  return /(^|\/)nohup$/.test(env["_"] ?? "") || /(^|\/)nohup\.out$/.test(outputFile ?? "");
}
