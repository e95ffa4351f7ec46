import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { runClient } from "../support/client-process.ts";
import { run } from "../support/program.ts";
import { LinkStage, until } from "../support/link-stage.ts";

/** The compiled program starts itself as the background link. */

let stage: LinkStage;
beforeAll(async () => {
  stage = await LinkStage.open();
});
afterAll(async () => {
  await stage.close();
});

test("the second command does not dial, and the link is the same program", async () => {
  const options = { env: stage.env, stdin: "over" } as const;
  const first = await run("fly-vault", ["exec", "--timing", "dev", "cat"], options);
  expect(first).toMatchObject({ exitCode: 0, text: "over" });
  expect(first.stderr).toMatch(/^start \d+ · dns \d+ · quic .* \(link: new\)\n$/);
  const [total = 0, ...parts] = (first.stderr.match(/\d+/g) ?? []).map(Number).toReversed();
  expect(parts.reduce((sum, part) => sum + part, 0)).toBe(total);
  const second = await run("fly-vault", ["exec", "--timing", "dev", "cat"], options);
  expect(second).toMatchObject({ exitCode: 0, text: "over" });
  expect(second.stderr).toMatch(/^total \d+ ms \(link: reused\)\n$/);
  expect(stage.vault.connectionCount).toBe(1);
  const [pid = 0] = stage.processes();
  expect(readFileSync(`/proc/${pid}/cmdline`, "utf8")).toMatch(/fly-vault\0link\0serve\0dev\0$/);
  expect(readFileSync(`/proc/${pid}/environ`, "utf8")).toContain("MIMALLOC_PURGE_DELAY=1000\0");
  // Another program, even if of the same version: it makes a link of its own.
  expect((await runClient(["exec", "dev", "true"], stage.env)).code).toBe(0);
  expect(stage.vault.connectionCount).toBe(2);
  const stopped = await run("fly-vault", ["link", "stop", "dev"], { env: stage.env });
  expect(stopped.stderr).toBe("stopped 2 links\n");
  await until(() => stage.processes().length === 0);
});
