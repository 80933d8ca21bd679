/**
 * Stories of several actors as transcripts: each line is one actor, what it was told and what it
 * asked for, with the milliseconds before it. A change of behaviour shows up as a diff of the files
 * in `__snapshots__`.
 */
import { expect, it } from "vitest";
import { inMacrotask } from "../sim/clock.ts";
import { SETTINGS, PICKUP } from "../sim/drive.ts";
import { Stage } from "../sim/stage.ts";
import { cellOf } from "./geo.ts";

const file = (name: string): string => `./__snapshots__/${name}.txt`;

it("three are offered, one declines, one accepts, the third's offer is withdrawn", () =>
  inMacrotask(() => {
    const stage = new Stage();
    const [anna, bert, cleo] = [
      stage.courier("anna", 100),
      stage.courier("bert", 200),
      stage.courier("cleo", 300),
    ];
    const id = stage.create();
    stage.wait(1_000);
    stage.decline(id, anna);
    stage.wait(500);
    stage.accept(id, bert);
    stage.wait(100);
    expect(stage.store.delivery(id)).toMatchObject({ status: "assigned", courierId: bert });
    expect(stage.lines.some((line) => line.includes(`${cleo} <- release: notify withdrawn`))).toBe(
      true,
    );
    return expect(stage.lines.join("\n")).toMatchFileSnapshot(file("three-offers"));
  }));

it("nobody is free: it waits in the backlog until a courier has delivered and wakes it", () =>
  inMacrotask(() => {
    const stage = new Stage();
    const anna = stage.courier("anna", 100);
    const first = stage.create(1);
    stage.wait(100);
    stage.accept(first, anna);
    stage.wait(100);
    const second = stage.create(2);
    stage.wait(40_000);
    stage.status(first, anna, "picked_up");
    stage.status(first, anna, "delivered");
    stage.wait(100);
    stage.free(cellOf(PICKUP), anna);
    stage.wait(100);
    stage.accept(second, anna);
    stage.wait(100);
    expect(stage.store.delivery(second)).toMatchObject({ status: "assigned", courierId: anna });
    return expect(stage.lines.join("\n")).toMatchFileSnapshot(file("backlog"));
  }));

it("a courier goes dark, is replaced, comes back, and hears that it has the delivery no more", () =>
  inMacrotask(() => {
    const stage = new Stage();
    const anna = stage.courier("anna", 500);
    const id = stage.create();
    stage.wait(100);
    stage.accept(id, anna);
    const bert = stage.courier("bert", 900);
    stage.wait(SETTINGS.DARK_MS + SETTINGS.WARN_MS, [anna]);
    stage.wait(100, [anna]);
    stage.accept(id, bert);
    stage.wait(10_000);
    expect(stage.store.delivery(id)).toMatchObject({ status: "assigned", courierId: bert });
    expect(stage.store.courier(anna)?.load).toBe(0);
    return expect(stage.lines.join("\n")).toMatchFileSnapshot(file("replaced"));
  }));
