import { afterEach, expect, test } from "bun:test";
import { type AdminStage, app, openAdminStage } from "./stage.ts";

let stage: AdminStage | undefined;
afterEach(async () => {
  await stage?.close();
  stage = undefined;
}, 15_000);

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
}, 20_000);
