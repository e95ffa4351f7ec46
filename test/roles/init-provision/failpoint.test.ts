import { expect, test } from "bun:test";
import { join } from "node:path";

const child = join(import.meta.dir, "failpoint.child.ts");

test.each([
  ["", "1\n2\n3\n"],
  ["seal", "1\n2\n3\n"],
  ["switch:4", "1\n2\n3\n"],
  ["switch", ""],
  ["switch:3", "1\n2\n"],
])("FV_FAILPOINT=%s", (failpoint, printed) => {
  const done = Bun.spawnSync([process.execPath, child], {
    env: { PATH: process.env["PATH"] ?? "", FV_FAILPOINT: failpoint },
  });
  expect(done.stdout.toString()).toBe(printed);
  expect(done.signalCode).toBe(printed.endsWith("3\n") ? undefined : "SIGKILL");
});
