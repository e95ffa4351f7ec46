import { expect, test } from "bun:test";
import { closeSync, mkdirSync, openSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { copyLimits } from "../../../src/system/copy/copy-limits.ts";
import { CountedWalk } from "../../../src/system/copy/counted-walk.ts";
import { CopyStage, descriptorsIn } from "./copy-pair.ts";

const walkOf = (
  stage: CopyStage,
  sources: readonly Buffer[] = [Buffer.from(stage.from)],
): CountedWalk =>
  new CountedWalk({
    sources,
    glob: false,
    recursive: true,
    exclude: [],
  });

function counted(walk: CountedWalk): { files: number; bytes: number } {
  const counting = walk.count();
  for (;;) {
    const { done, value } = counting.next();
    if (done === true) return value;
  }
}

function names(walk: CountedWalk): string[] {
  const found: string[] = [];
  for (let step = walk.next(); step !== undefined; step = walk.next())
    if (step.kind === "entry") found.push(Buffer.from(step.entry.name).toString());
  return found;
}

test("what was counted is what is told, and can still be read", () => {
  using stage = new CopyStage();
  mkdirSync(join(stage.from, "a"), { recursive: true });
  writeFileSync(join(stage.from, "a/x"), "12345");
  const walk = walkOf(stage);
  expect(counted(walk)).toEqual({ files: 1, bytes: 5 });
  // Not looked at again: it is told all the same.
  rmSync(join(stage.from, "a/x"));
  writeFileSync(join(stage.from, "a/y"), "");
  const told: string[] = [];
  for (let step = walk.next(); step !== undefined; step = walk.next()) {
    if (step.kind !== "entry") continue;
    told.push(Buffer.from(step.entry.name).toString());
    if (step.entry.kind === "folder") expect(step.tree.look(step.path).kind).toBe("folder");
  }
  expect(told).toEqual(["from", "a", "x"]);
  walk.close();
});

test("more names than are remembered are gone through once more", () => {
  using stage = new CopyStage();
  mkdirSync(stage.from);
  for (let index = 0; index <= copyLimits.walkStepsMax; index++)
    closeSync(openSync(join(stage.from, `${index}`), "w"));
  const walk = walkOf(stage);
  expect(counted(walk).files).toBe(copyLimits.walkStepsMax + 1);
  rmSync(join(stage.from, "0"));
  const told = names(walk);
  expect(told).toHaveLength(copyLimits.walkStepsMax + 1);
  expect(told).not.toContain("0");
  walk.close();
});

test("of many folders that were named few stay open", () => {
  using stage = new CopyStage();
  const sources: Buffer[] = [];
  for (let index = 0; index <= copyLimits.walkTreesMax; index++) {
    mkdirSync(join(stage.folder, `${index}`, "below"), { recursive: true });
    writeFileSync(join(stage.folder, `${index}`, "below/file"), "");
    sources.push(Buffer.from(join(stage.folder, `${index}`)));
  }
  const few = walkOf(stage, sources.slice(1));
  expect(counted(few).files).toBe(copyLimits.walkTreesMax);
  // And one for the folder that was read last.
  expect(descriptorsIn(stage.folder)).toBe(copyLimits.walkTreesMax + 1);
  few.close();
  expect(descriptorsIn(stage.folder)).toBe(0);
  const many = walkOf(stage, sources);
  expect(counted(many).files).toBe(sources.length);
  expect(descriptorsIn(stage.folder)).toBe(0);
  expect(names(many)).toHaveLength(sources.length * 3);
  many.close();
});
