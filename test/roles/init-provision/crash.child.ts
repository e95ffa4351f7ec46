import { mock, test } from "bun:test";
import * as realFs from "node:fs";
import * as realFilesystem from "../../../src/system/filesystem.ts";

/**
 * Runs one job on a volume and kills itself with SIGKILL right before its n-th change of the file
 * system. Run by `bun test`, whose module mocks put the counter into every call.
 */
const job = process.env["FV_CRASH_JOB"] ?? "";
const dataDir = process.env["FV_CRASH_DATA"] ?? "";
const archive = process.env["FV_CRASH_ARCHIVE"] ?? "";
const killAt = Number(process.env["FV_CRASH_AT"]);

let changes = 0;

function counted<Call extends (...words: never[]) => unknown>(call: Call): Call {
  return ((...words: never[]) => {
    changes++;
    if (changes === killAt) process.kill(process.pid, "SIGKILL");
    return call(...words);
  }) as Call;
}

const { mkdirSync, writeSync, fsyncSync } = realFs;
const fs = {
  ...realFs,
  mkdirSync: counted(mkdirSync as never),
  writeSync: counted(writeSync as never),
  fsyncSync: counted(fsyncSync as never),
};
const { renameat2, fsetxattr, unlinkat } = realFilesystem;
const filesystem = {
  ...realFilesystem,
  renameat2: counted(renameat2),
  fsetxattr: counted(fsetxattr),
  unlinkat: counted(unlinkat),
};

function log(): void {
  // What is logged does not matter here.
}

test("the job", async () => {
  void mock.module("node:fs", () => ({ ...fs, default: fs }));
  void mock.module("../../../src/system/filesystem.ts", () => filesystem);
  const provision = await import("../../../src/roles/init/provision/provision.ts");
  const { repairAtBoot } = await import("../../../src/roles/init/provision/repair.ts");
  const { unpackCommand } = await import("./volume-fixture.ts");
  if (job === "repair") await repairAtBoot(dataDir, log);
  else if (job === "rollback") await provision.restorePrevious(dataDir, () => undefined);
  else {
    const staged = await provision.stageRootfs({
      dataDir,
      archive: Bun.file(archive).stream(),
      onProgress: () => undefined,
      signal: new AbortController().signal,
      log,
      unpackCommand,
    });
    await staged.activate();
  }
  // The parent learns that the job is done, and how many places there were to die.
  console.log(`done after ${changes} changes`);
});
