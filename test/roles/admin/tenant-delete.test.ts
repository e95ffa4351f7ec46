import { afterEach, describe, expect, test } from "bun:test";
import { main } from "../../../src/roles/admin/main.ts";
import { memoryContext } from "../../support/memory-context.ts";
import { type AdminStage, app, openAdminStage, templateText, withoutWaiting } from "./stage.ts";

let stage: AdminStage | undefined;
const open = async (...given: Parameters<typeof openAdminStage>): Promise<AdminStage> => {
  stage = await openAdminStage(...given);
  return stage;
};
afterEach(async () => {
  await stage?.close();
  stage = undefined;
}, 120_000);

const create = async (on: AdminStage, tenant = "acme") =>
  on.admin("tenant", "create", tenant, "--template", on.template);
const counts = async (on: AdminStage) => [
  (await on.machines()).length,
  (await on.volumes()).length,
];

/** Somebody at a terminal, who types this. */
async function atTerminal(
  on: AdminStage,
  typed: string,
  env: Record<string, string> = {},
  ...more: readonly string[]
) {
  const context = withoutWaiting(
    memoryContext({
      env: { ...on.env, ...env },
      tty: true,
      stdin: typed.split("").map((key) => new TextEncoder().encode(key)),
    }),
  );
  const exitCode = await main(["tenant", "delete", "acme", ...more], context);
  return { exitCode, out: context.out(), err: context.err() };
}

describe("on a terminal the name must be typed", () => {
  test("and nothing else will do", async () => {
    const on = await open();
    await create(on);
    for (const typed of [
      "",
      "\n",
      "y\n",
      "yes\n",
      "acm\n",
      "ACME\n",
      "acmee\n",
      "acme",
      "x".repeat(2_000),
    ]) {
      const no = await atTerminal(on, typed);
      expect([typed, no.exitCode, await counts(on)]).toEqual([typed, 2, [1, 1]]);
      expect(no.err).toContain('type "acme" to delete 1 machine and 1 volume (1 GiB): ');
    }
    const yes = await atTerminal(on, "acme\n");
    expect([yes.exitCode, await counts(on)]).toEqual([0, [0, 0]]);
    expect(yes.out).toContain("tenant acme is deleted");
  });

  test("or Ctrl-C pressed: exit 130, and nothing is done", async () => {
    const on = await open();
    await create(on);
    const asked = Promise.withResolvers<undefined>();
    const never = (async function* () {
      asked.resolve(undefined);
      await new Promise(() => undefined);
      yield new Uint8Array();
    })();
    const context = withoutWaiting(memoryContext({ env: on.env, tty: true, stdin: never }));
    const exit = main(["tenant", "delete", "acme"], context);
    await asked.promise;
    context.stop("SIGINT");
    expect([await exit, await counts(on)]).toEqual([130, [1, 1]]);
  });

  test("unless there is nobody who could: CI, or asked not to ask", async () => {
    const on = await open();
    await create(on);
    for (const env of [{ CI: "true" }, { FLY_VAULT_NO_INPUT: "1" }]) {
      const no = await atTerminal(on, "acme\n", env);
      expect([no.exitCode, no.err.includes("type ")]).toEqual([2, false]);
    }
    expect(await counts(on)).toEqual([1, 1]);
  });
});

test("--confirm is the same as typing, and must name the tenant", async () => {
  const on = await open();
  await create(on);
  const other = await on.admin("tenant", "delete", "acme", "--confirm", "acne");
  expect([other.exitCode, await counts(on)]).toEqual([2, [1, 1]]);
  expect((await on.admin("tenant", "delete", "acme", "--confirm", "acme")).exitCode).toBe(0);
  expect(await counts(on)).toEqual([0, 0]);
});

test("the plan names machines, and volumes with size and last use", async () => {
  const on = await open();
  await create(on);
  const [machine] = await on.machines();
  const [volume] = await on.volumes();
  const { out } = await on.admin("tenant", "delete", "acme");
  expect(out).toMatch(
    new RegExp(
      `^tenant acme: 1 machine and 1 volume \\(1 GiB\\) to delete\\n  machine ${machine?.id}  tenant-acme-1  started  ord\\n` +
        `  volume  ${volume?.id}  tvol_acme_1  1 GiB  ord  on ${machine?.id}, last started 20..-..-..T.*Z\\n$`,
    ),
  );
});

test("the volume of a machine that is gone already is found, and named as free", async () => {
  const on = await open();
  await create(on);
  const [machine] = await on.machines();
  await call(on, "DELETE", `machines/${machine?.id}?force=true`);
  const shown = await on.admin("tenant", "delete", "acme");
  expect(shown.out).toContain("0 machines and 1 volume (1 GiB)");
  expect(shown.out).toContain(`free; its machine ${machine?.id} was destroyed 20`);
  expect((await on.admin("tenant", "delete", "acme", "--yes")).exitCode).toBe(0);
  expect(await counts(on)).toEqual([0, 0]);
});

test("a volume that somebody else's machine mounts now is left alone", async () => {
  const on = await open();
  await create(on);
  const [machine] = await on.machines();
  const [volume] = await on.volumes();
  await call(on, "DELETE", `machines/${machine?.id}?force=true`);
  const text = templateText.replace(
    'name = "tvol_{{tenant_id}}_{{index}}"',
    `volume = "${volume?.id}"`,
  );
  const heir = await on.admin(
    "tenant",
    "create",
    "heir",
    "--template",
    on.write("heir.toml", text),
  );
  expect(heir.exitCode).toBe(0);
  const gone = await on.admin("tenant", "delete", "acme", "--yes");
  expect([gone.exitCode, await counts(on)]).toEqual([3, [1, 1]]);
});

test("of a list that has everybody's machines only the tenant's own are deleted", async () => {
  const on = await open();
  for (const tenant of ["acme", "acme_1", "zeta"]) await create(on, tenant);
  on.rules.push({ on: "GET /machines", fault: "unfiltered-list" });
  const gone = await on.admin("tenant", "delete", "acme", "--yes");
  expect([gone.exitCode, await counts(on)]).toEqual([0, [2, 2]]);
  const names = (await on.machines()).map(({ name }) => name);
  expect(names.toSorted()).toEqual(["tenant-acme_1-1", "tenant-zeta-1"]);
});

test("a machine that somebody else stops, or removes, meanwhile is no failure", async () => {
  for (const [method, path] of [
    ["POST", "/stop"],
    ["DELETE", "?force=true"],
  ] as const) {
    let id: string | undefined;
    const strike = async (): Promise<void> => {
      await call(on, method, `machines/${id}${path}`);
    };
    const on = await open([{ on: "POST /machines/*/stop", nth: 1, fault: "409", strike }]);
    await create(on);
    id = (await on.machines())[0]?.id;
    const { exitCode, err } = await on.admin("tenant", "delete", "acme", "--yes");
    expect([err, exitCode, await counts(on)]).toEqual([err, 0, [0, 0]]);
    await on.close();
  }
});

test("one that is locked by somebody is not waited for until the end of time", async () => {
  const on = await open([{ on: "POST /machines/*/stop", fault: "409" }]);
  await create(on);
  const { exitCode, err } = await on.admin("tenant", "delete", "acme", "--yes");
  expect([exitCode, err.includes("could not stop machine")]).toEqual([8, true]);
  expect(await counts(on)).toEqual([1, 1]);
});

test("one machine of two under somebody's lease: the other goes, and this one is named", async () => {
  const on = await open();
  const two = on.write("two.toml", templateText.replace("machine_count = 1", "machine_count = 2"));
  await on.admin("tenant", "create", "acme", "--template", two);
  const [held] = await on.machines();
  const lease = await call(on, "POST", `machines/${held?.id}/lease`, { ttl: 60 });
  const { nonce } = Object(lease).data;
  const part = await on.admin("tenant", "delete", "acme", "--yes");
  expect([part.exitCode, part.err.includes(`left: machine ${held?.id}`)]).toEqual([8, true]);
  expect(await counts(on)).toEqual([1, 1]);
  await fetch(`${on.fly.apiBase}/v1/apps/${app}/machines/${held?.id}/lease`, {
    method: "DELETE",
    headers: { authorization: `Bearer ${on.fly.apiToken}`, "fly-machine-lease-nonce": nonce },
  });
  expect((await on.admin("tenant", "delete", "acme", "--yes")).exitCode).toBe(0);
  expect(await counts(on)).toEqual([0, 0]);
});

async function call(on: AdminStage, method: string, path: string, body?: object): Promise<unknown> {
  const answer = await fetch(`${on.fly.apiBase}/v1/apps/${app}/${path}`, {
    method,
    headers: { authorization: `Bearer ${on.fly.apiToken}` },
    body: body === undefined ? null : JSON.stringify(body),
  });
  return answer.json();
}

test("a state folder that cannot be used keeps nobody from deleting", async () => {
  const on = await open();
  await create(on);
  const env = { ...on.env, FLY_VAULT_HOME: on.write("no-folder", "") };
  const context = withoutWaiting(memoryContext({ env }));
  const exitCode = await main(["tenant", "delete", "acme", "--yes"], context);
  expect([exitCode, await counts(on)]).toEqual([0, [0, 0]]);
  expect(context.err()).toContain("warning: ");
});

test("--dry-run shows the plan and removes nothing; --json is for programs, and asks nobody", async () => {
  const on = await open();
  await create(on);
  const [machine] = await on.machines();
  const dry = await on.admin("tenant", "delete", "acme", "--dry-run", "--yes");
  expect([dry.exitCode, dry.out.includes("1 machine and 1 volume"), await counts(on)]).toEqual([
    0,
    true,
    [1, 1],
  ]);
  const mute = await atTerminal(on, "acme\n", {}, "--json");
  expect([mute.exitCode, mute.err.includes("type "), await counts(on)]).toEqual([2, false, [1, 1]]);
  const done = await on.admin("tenant", "delete", "acme", "--yes", "--json");
  expect([done.exitCode, await counts(on)]).toEqual([0, [0, 0]]);
  expect(JSON.parse(done.out)).toMatchObject({
    schema: "fly-vault/tenant-delete",
    version: 1,
    data: {
      tenant_id: "acme",
      machines: [{ machine_id: machine?.id ?? "", state: "started" }],
      volumes: [{ size_gib: 1, machine_id: machine?.id ?? "" }],
    },
  });
  expect(done.err).toContain("tenant acme is deleted");
});
