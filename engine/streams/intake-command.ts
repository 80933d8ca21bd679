/**
 * A create as a message of the INTAKE stream and back. The message holds the whole command, its
 * answer included, so that whoever commits it later commits what was promised.
 */
import { intakeMessages } from "../../proto/intake.ts";
import type { IntakeMessage } from "../../proto/intake.ts";
import type { CreateCommand } from "../store/port.ts";

export function encodeIntake(command: CreateCommand): Uint8Array {
  const { idempotency, answer, trackingHash, ...rest } = command;
  return intakeMessages.encode({
    type: "create",
    ...rest,
    trackingHash: Buffer.from(trackingHash).toString("hex"),
    key: idempotency,
    status: answer.status,
    body: JSON.stringify(answer.body),
  });
}

/** Null when it cannot be read. */
export function decodeIntake(data: Uint8Array): CreateCommand | null {
  const message = intakeMessages.decode(data);
  if (message === null) return null;
  const body = parse(message.body);
  if (body === undefined) return null;
  const { type: _type, trackingHash, key, status, body: _body, ...rest } = message;
  return {
    ...rest,
    trackingHash: Uint8Array.from(Buffer.from(trackingHash, "hex")),
    idempotency: key,
    answer: { status, body },
  };
}

function parse(text: IntakeMessage["body"]): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
