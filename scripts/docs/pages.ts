// The layout of the generated reference pages: tables of proto/ in, Markdown out. Pure functions;
// the introductions are the opening comments of the files that the tables stand in.

import { SETTING_RANGES } from "../../engine/config.ts";
import type { Table } from "../../proto/codec.ts";
import { CLOSE_CODES, ERRORS } from "../../proto/errors.ts";
import { SUBPROTOCOL, clientTable, serverTable } from "../../proto/frames.ts";
import { intakeTable } from "../../proto/intake.ts";
import { DISPATCH_DEFAULTS } from "../../proto/limits.ts";
import { streamTable, toCellTable, toCourierTable, toDeliveryTable } from "../../proto/messages.ts";
import { ENVELOPES } from "../../proto/posts.ts";
import { STREAMS, SUBJECTS } from "../../proto/subjects.ts";
import { EXPECTED, RELATIONS } from "../../gateway/testing/authorization.ts";
import { STATUSES } from "../../proto/status.ts";
import { constantsOf, openingComment, rowDocs } from "./source.ts";

const NOTE = "<!-- Generated from proto/ by `npm run docs`; changes here are lost. -->";
const BYTES_PER_MIB = 1_048_576;

/** A Markdown table; cells are escaped. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|").replaceAll("\n", " ")).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

const page = (...parts: readonly string[]): string => `${[NOTE, ...parts].join("\n\n")}\n`;
const code = (text: string | number): string => `\`${text}\``;
const yesNo = (value: boolean): string => (value ? "yes" : "no");
const whole = (value: number): string => value.toLocaleString("en-US");

export function protocolPage(
  framesSource: string,
  messagesSource: string,
  postsSource: string,
): string {
  return page(
    "# Protocol",
    openingComment(framesSource),
    `Subprotocol ${code(SUBPROTOCOL)}. Bounds on size, depth and items are in [limits](limits.md), ` +
      "the codes of errors and closes in [errors](errors.md).",
    "## From the client",
    frames(clientTable),
    "## From the server",
    frames(serverTable),
    "## Between nodes and gateways",
    openingComment(messagesSource),
    "### To a delivery actor",
    frames(toDeliveryTable),
    "### To a courier actor",
    frames(toCourierTable),
    "### To a cell",
    frames(toCellTable),
    "### In the cell streams",
    frames(streamTable),
    "### In the intake",
    frames(intakeTable),
    "### How they travel",
    openingComment(postsSource),
    "Each of these is one MessagePack array of items, and an item an array of its fields in order. Fields are only appended; " +
      "a reader ignores those that it does not know.",
    envelopes(),
  );
}

const envelopes = (): string =>
  table(
    ["Envelope", "What it says", "Fields of an item in order"],
    Object.entries(ENVELOPES).map(([name, { doc, fields }]) => [
      code(name),
      doc,
      fields.map((field, index) => `${index + 1}. ${field}`).join("<br>"),
    ]),
  );

function frames(rows: Table): string {
  const cells = Object.entries(rows).map(([name, row]) => {
    const fields = Object.entries(row.fields).map(
      ([field, type], index) => `${index + 1}. ${code(field)}: ${(type as { name: string }).name}`,
    );
    return [String(row.code), code(name), row.doc, fields.join("<br>") || "none"];
  });
  return table(["Code", "Frame", "What it says", "Fields in order"], cells);
}

export function subjectsPage(source: string): string {
  const subjects = Object.entries(SUBJECTS).map(([name, row]) => [
    code(row.pattern),
    name,
    row.doc,
  ]);
  const streams = Object.entries(STREAMS).map(([name, row]) => [
    code(`{PREFIX}_${name}`),
    row.subject,
    row.storage,
    whole(row.ageMaxS),
    whole(row.bytesMax / BYTES_PER_MIB),
    whole(row.dedupeS),
    row.whenFull,
    row.doc,
  ]);
  return page(
    "# NATS subjects and streams",
    openingComment(source),
    "## Subjects",
    table(["Subject", "Name", "Who says what to whom"], subjects),
    "## JetStream streams",
    table(
      ["Stream", "Subjects", "Storage", "Age, s", "Size, MiB", "Dedupe, s", "Full", "What for"],
      streams,
    ),
  );
}

/**
 * Who may do what: one table for each action, a row for each relation that is not refused
 * throughout.
 */
export function authorizationPage(source: string): string {
  const sections = Object.entries(EXPECTED).flatMap(([action, relations]) => [
    `## ${action}`,
    table(
      ["Who", ...STATUSES],
      Object.entries(relations).map(([relation, row]) => [
        RELATIONS[relation as keyof typeof RELATIONS],
        ...STATUSES.map((status) => row[status]),
      ]),
    ),
  ]);
  return page(
    "# Authorization",
    openingComment(source),
    "The numbers are HTTP statuses; over the socket the same refusals come as error codes ([errors](errors.md)), and partners get them over NATS. `200+` shows where " +
      "the courier is. `-`: there is nobody of that kind. 401 no valid token, 403 not in this role, 404 does not exist for you, " +
      "409 the status of the delivery does not allow it.",
    ...sections,
  );
}

export function errorsPage(source: string): string {
  const errors = Object.entries(ERRORS).map(([name, row]) => [
    code(name),
    String(row.status),
    yesNo(row.retryable),
    row.text,
  ]);
  const closes = Object.entries(CLOSE_CODES)
    .sort(([, a], [, b]) => a.code - b.code)
    .map(([name, row]) => [String(row.code), code(name), yesNo(row.retry), row.text]);
  return page(
    "# Errors",
    openingComment(source),
    table(["Code", "HTTP", "May succeed later", "Text"], errors),
    "## Close codes of the WebSocket",
    "Below 4500 the client comes back by itself; from 4500 on it must not.",
    table(["Code", "Name", "Come back", "Text"], closes),
  );
}

export function limitsPage(source: string): string {
  const docs = rowDocs(source);
  const settings = Object.entries(DISPATCH_DEFAULTS).map(([name, value]) => {
    const [min, max] = SETTING_RANGES[name as keyof typeof DISPATCH_DEFAULTS];
    const range = `${whole(min)} to ${whole(max)}`;
    return [code(`HEXDISPATCH_${name}`), whole(value), range, docs.get(name) ?? ""];
  });
  const sections = constantsOf(source).flatMap((section) => [
    `### ${section.title}`,
    table(
      ["Name", "Value", "Meaning"],
      section.rows.map((row) => [code(row.name), row.value, row.doc]),
    ),
  ]);
  return page(
    "# Limits and settings",
    openingComment(source),
    "## What an operator may set",
    table(["Variable", "Default", "Range", "Meaning"], settings),
    "## Fixed bounds",
    ...sections,
  );
}
