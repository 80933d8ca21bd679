// The terminal of `npm run cluster`: the table stays at the top and is written anew once a second,
// what is said and typed scrolls below it. Without a terminal there is only what is said.

import { stdout } from "node:process";

const SAVE = "\u001b7";
const RESTORE = "\u001b8";
const CLEAR_LINE = "\u001b[2K";
const CLEAR_ALL = "\u001b[2J";
const ALL_ROWS = "\u001b[r";
const at = (row: number): string => `\u001b[${row};1H`;

export class Screen {
  readonly isTerminal = stdout.isTTY;
  #height = 0;
  #rows = 0;

  /** Writes the table at the top. Does nothing without a terminal. */
  show(lines: readonly string[]): void {
    if (!this.isTerminal) return;
    const { rows, columns } = stdout;
    const shown = lines.slice(0, Math.max(1, rows - 6)).map((line) => line.slice(0, columns - 1));
    const rule = "-".repeat(Math.min(columns - 1, 100));
    const all = [...shown, rule];
    let text = "";
    if (all.length !== this.#height || rows !== this.#rows) {
      // A new height: the part below begins elsewhere, so the screen begins anew.
      text += `${CLEAR_ALL}\u001b[${all.length + 1};${rows}r${at(rows)}`;
      this.#height = all.length;
      this.#rows = rows;
    }
    text += SAVE;
    all.forEach((line, i) => (text += `${at(i + 1)}${CLEAR_LINE}${line}`));
    stdout.write(text + RESTORE);
  }

  /** Gives the whole screen back. */
  close(): void {
    if (this.#height === 0) return;
    stdout.write(`${SAVE}${ALL_ROWS}${RESTORE}\n`);
    this.#height = 0;
  }
}
