import { afterEach, expect, test } from "bun:test";
import { main } from "../../../src/roles/admin/main.ts";
import { memoryContext } from "../../support/memory-context.ts";
import { type AdminStage, app, openAdminStage } from "./stage.ts";

let stage: AdminStage | undefined;
afterEach(async () => {
  await stage?.close();
  stage = undefined;
}, 120_000);

test("a tenant whose creation has not ended is shown as unfinished, and only such a one", async () => {
  const on = (stage = await openAdminStage());
  await on.admin("tenant", "create", "acme", "--template", on.template);
  await on.admin("tenant", "create", "zeta", "--template", on.template);
  const plain = await on.admin("tenant", "list");
  expect(plain.out).not.toContain("unfinished");
  expect(plain.out).not.toContain("NOTE");
  const [first] = await on.machines();
  const tenant = first?.config.metadata["fly_vault.tenant_id"] ?? "";
  const path = `/v1/apps/${app}/machines/${first?.id}/metadata/fly_vault.unfinished`;
  await fetch(`${on.fly.apiBase}${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${on.fly.apiToken}` },
    body: '{"value":"true"}',
  });
  const lines = (await on.admin("tenant", "list")).out.split("\n");
  expect(lines[0]).toMatch(/ NOTE$/);
  expect(lines.filter((line) => line.endsWith("1 unfinished"))).toEqual([
    expect.stringMatching(new RegExp(`^${tenant} `)),
  ]);
  expect((await on.admin("tenant", "list", "--wide")).out).toContain("started, unfinished");
  const rows = JSON.parse((await on.admin("tenant", "list", "--json")).out) as unknown;
  expect(rows).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ tenant_id: tenant, unfinished: 1 }),
      expect.not.objectContaining({ unfinished: expect.anything() }),
    ]),
  );
}, 120_000);

test("a tenant that is not there is named; on a terminal a digest is short, in a pipe whole", async () => {
  const on = (stage = await openAdminStage());
  await on.admin("tenant", "create", "acme", "--template", on.template);
  const none = await on.admin("tenant", "list", "--tenant", "acne");
  expect([none.exitCode, none.out, none.err]).toEqual([
    0,
    "",
    `no tenant "acne" in app "${app}"\n`,
  ]);
  for (const words of [[], ["--wide"]]) {
    const pipe = await on.admin("tenant", "list", ...words);
    expect(pipe.out).toMatch(/sha256:[0-9a-f]{64} /);
    const context = memoryContext({ env: on.env, tty: true });
    expect(await main(["tenant", "list", ...words], context)).toBe(0);
    expect(context.out()).toMatch(/sha256:[0-9a-f]{12} /);
  }
}, 120_000);
