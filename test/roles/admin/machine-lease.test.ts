import { afterEach, expect, test } from "bun:test";
import { withLease } from "../../../src/roles/admin/machine-lease.ts";
import { json, scriptApi, type ScriptedApi } from "../../fly/scripted-api.ts";
import { type AdminStage, openAdminStage } from "./stage.ts";

const open: ScriptedApi[] = [];
let stage: AdminStage | undefined;
const script = (...given: Parameters<typeof scriptApi>): ScriptedApi => {
  const scripted = scriptApi(...given);
  open.push(scripted);
  return scripted;
};
afterEach(async () => {
  for (const each of open.splice(0)) await each.close();
  await stage?.close();
  stage = undefined;
}, 120_000);

const id = "148e21ea7e46e8";
const lost = (): Response => json({ error: "no" }, { status: 500 });
const taken = (): Response => json({ error: "lease currently held by x" }, { status: 409 });
const given = (nonce: string): Response => json({ nonce }, { status: 201 });
const held = (description: string, nonce?: string): Response =>
  json({ status: "success", data: { description, ...(nonce === undefined ? {} : { nonce }) } });
const killed = (): Response => held("fly-vault-admin change (0123456789abcdef)");
const methods = ({ seen }: ScriptedApi): string[] => seen.map(({ method }) => method);
const nonceOf = async (on: ScriptedApi): Promise<string> =>
  withLease(on.api, id, async (nonce) => nonce);

test("a lease whose answer was lost is found by its mark, and taken up", async () => {
  let mark = "";
  const on = script([
    ({ body }) => {
      mark = (JSON.parse(body) as { description: string }).description;
      return lost();
    },
    () => held(mark, "n1"),
    given("n1"),
    json({}),
  ]);
  expect(await nonceOf(on)).toBe("n1");
  expect(mark).toMatch(/^fly-vault-admin change \([0-9a-f]{16}\)$/);
  expect(methods(on)).toEqual(["POST", "GET", "POST", "DELETE"]);
  expect(on.seen[2]?.headers.get("fly-machine-lease-nonce")).toBe("n1");
});

test("a lost request that took none is made again", async () => {
  const on = script([lost(), json({ error: "none" }, { status: 404 }), given("n2"), json({})]);
  expect(await nonceOf(on)).toBe("n2");
  expect(on.slept).toContain(1_000);
});

test("the lease of a run of ours that was killed is waited for, and no longer than it lives", async () => {
  const on = script([taken(), killed(), taken(), killed(), given("n3"), json({})]);
  expect(await nonceOf(on)).toBe("n3");
  const forEver = script([({ method }) => (method === "POST" ? taken() : killed())]);
  expect(await nonceOf(forEver).catch((error: unknown) => error)).toMatchObject({
    kind: "conflict",
  });
  const waitedMs = forEver.slept.filter((ms) => ms === 1_000).length * 1_000;
  expect([waitedMs >= 30_000, waitedMs <= 40_000]).toEqual([true, true]);
});

test.each(["fly-vault-admin rollout r-20261123-1 (5f3a9c01)", "deploy", ""])(
  "somebody else's (%p) is an error at once",
  async (description) => {
    const on = script([taken(), held(description)]);
    expect(await nonceOf(on).catch((error: unknown) => error)).toMatchObject({ kind: "conflict" });
    expect(methods(on)).toEqual(["POST", "GET"]);
  },
);

test("it is renewed while the work lasts, and a renewal is over before it is given back", async () => {
  const calls: string[] = [];
  const on = script([
    async ({ method, headers }) => {
      calls.push(`${method} ${headers.get("fly-machine-lease-nonce") ?? "none"}`);
      if (method === "POST") await Bun.sleep(30);
      calls.push(`${method} answered`);
      return method === "POST" ? given("n5") : json({});
    },
  ]);
  const life = { seconds: 30, renewMs: 20 };
  const renewals = (): number => calls.filter((call) => call === "POST n5").length;
  const work = async (): Promise<void> => {
    while (renewals() < 2) await Bun.sleep(5);
  };
  await withLease(on.api, id, work, life);
  expect(calls.slice(-3)).toEqual(["POST answered", "DELETE n5", "DELETE answered"]);
  const count = calls.length;
  await Bun.sleep(60);
  expect(calls.length).toBe(count);
});

test("a command whose lease got no answer does its work all the same", async () => {
  const on = (stage = await openAdminStage());
  await on.admin("tenant", "create", "acme", "--template", on.template);
  on.rules.push({ on: "POST /machines/*/lease", nth: 1, fault: "done-but-500" });
  const done = await on.admin("tenant", "rotate-token", "acme");
  expect([done.exitCode, done.err]).toEqual([0, expect.not.stringContaining("lease")]);
}, 120_000);
