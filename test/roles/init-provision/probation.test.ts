import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { markProven, restorePrevious } from "../../../src/roles/init/provision/provision.ts";
import { rootfs, Volume } from "./volume-fixture.ts";

setDefaultTimeout(120_000);

async function isProven(volume: Volume): Promise<boolean> {
  return (await volume.restart()).proven;
}

/** A volume with version 1, proven, and version 2 on top of it. */
async function upgraded(): Promise<Volume> {
  const volume = new Volume();
  await volume.provision(rootfs("1"));
  await markProven(volume.dir, volume.log);
  await volume.provision(rootfs("2"));
  return volume;
}

describe("a new root filesystem", () => {
  test("needs no probation where there is none to go back to", async () => {
    await using volume = new Volume();
    expect(await isProven(volume)).toBe(true);
    await volume.provision(rootfs("1"));
    expect(await isProven(volume)).toBe(true);
  });

  test("is on probation, over any number of boots, until it has proved itself", async () => {
    await using volume = await upgraded();
    expect(await isProven(volume)).toBe(false);
    expect(await isProven(volume)).toBe(false);
    await markProven(volume.dir, volume.log);
    expect(await isProven(volume)).toBe(true);
    await volume.provision(rootfs("3"));
    expect(await isProven(volume)).toBe(false);
  });

  test("is on probation again when the note is lost", async () => {
    await using volume = await upgraded();
    await markProven(volume.dir, volume.log);
    rmSync(volume.layout.state);
    expect(await isProven(volume)).toBe(false);
    await markProven(volume.dir, volume.log);
    writeFileSync(volume.layout.state, "{");
    expect(await isProven(volume)).toBe(false);
  });
});

test("a tree that one goes back to is proven, and the one left behind is not", async () => {
  await using volume = await upgraded();
  await restorePrevious(volume.dir, volume.log);
  expect(volume.read("rootfs/version")).toBe("1");
  expect(await isProven(volume)).toBe(true);
  await restorePrevious(volume.dir, volume.log);
  expect(volume.read("rootfs/version")).toBe("2");
  expect(await isProven(volume)).toBe(true);
});

test("a record from before there was probation counts as proven, for the tree it names", async () => {
  await using volume = await upgraded();
  const { proven, ...old } = JSON.parse(readFileSync(volume.layout.state, "utf8"));
  expect(proven).toBe(1);
  writeFileSync(volume.layout.state, JSON.stringify(old));
  expect(await isProven(volume)).toBe(true);
  await volume.provision(rootfs("3"));
  expect(await isProven(volume)).toBe(false);
});

test("a tree made by hand has nothing to prove", async () => {
  await using volume = new Volume();
  mkdirSync(volume.layout.rootfs);
  await volume.provision(rootfs("1"));
  expect(await isProven(volume)).toBe(false);
  await restorePrevious(volume.dir, volume.log);
  expect(volume.read("rootfs/version")).toBeUndefined();
  expect(await isProven(volume)).toBe(true);
});
