import { expect, test } from "bun:test";
import { join } from "node:path";
import { runChild } from "../../support/run-child.ts";
import type { StagingMemory } from "./provision-memory.child.ts";

const mebibyte = 1024 * 1024;

test("memory stays flat on a large archive", async () => {
  const printed = await runChild(join(import.meta.dir, "provision-memory.child.ts"), "300");
  const { writtenBytes, growthBytes, unpackerBytes } = JSON.parse(printed) as StagingMemory;
  expect(writtenBytes).toBeGreaterThan(300 * mebibyte);
  // 20 and 90 MiB, and the same with 900 MiB.
  expect(growthBytes).toBeLessThan(64 * mebibyte);
  expect(unpackerBytes).toBeGreaterThan(10 * mebibyte);
  expect(unpackerBytes).toBeLessThan(128 * mebibyte);
}, 120_000);
