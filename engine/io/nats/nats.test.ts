import { describe, expect, it } from "vitest";
import { UnfitServerError, checkServer } from "./nats.ts";

describe("the gate of the NATS server", () => {
  it.each(["2.10.0", "2.10.27", "2.14.3", "2.15.1", "2.16.0-RC.2", "3.0.0"])(
    "takes %s",
    (version) => {
      expect(() => checkServer(version, true)).not.toThrow();
    },
  );

  it.each(["2.9.25", "2.9.99-beta", "1.4.1", "0.0.0"])(
    "refuses %s and names what is needed",
    (version) => {
      expect(() => checkServer(version, true)).toThrow(UnfitServerError);
      expect(() => checkServer(version, true)).toThrow(/2\.10\.\d+ or newer/);
    },
  );

  it("refuses one without JetStream", () => {
    expect(() => checkServer("2.15.1", false)).toThrow("without JetStream");
  });
});
