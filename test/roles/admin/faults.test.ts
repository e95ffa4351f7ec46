import { afterEach, describe, expect, test } from "bun:test";
import type { Fault } from "./fault-proxy.ts";
import { type AdminStage, app, openAdminStage, templateText } from "./stage.ts";

let stage: AdminStage | undefined;
const open = async (...given: Parameters<typeof openAdminStage>): Promise<AdminStage> => {
  stage = await openAdminStage(...given);
  return stage;
};
afterEach(async () => {
  await stage?.close();
  stage = undefined;
}, 120_000);

const create = async (on: AdminStage, ...words: readonly string[]) =>
  on.admin("tenant", "create", "acme", "--template", on.template, ...words);

describe("a call that was done although it failed makes nothing twice", () => {
  for (const fault of ["done-but-500", "answer-lost"] as const) {
    for (const on of ["POST /machines", "POST /volumes"]) {
      test(`${on}: ${fault}`, async () => {
        const at = await open([{ on, nth: 1, fault }]);
        expect((await create(at)).exitCode).toBe(0);
        expect((await at.machines()).length).toBe(1);
        expect((await at.volumes()).length).toBe(1);
        expect(at.proxy.calls.filter((call) => call === on).length).toBe(1);
      }, 120_000);
    }
  }
});

test("a name that is taken by what was just made is no conflict", async () => {
  const at = await open([{ on: "POST /machines", nth: 1, fault: "done-but-422-name_taken" }]);
  expect((await create(at)).exitCode).toBe(0);
  expect((await at.machines()).length).toBe(1);
});

test("a volume of the same name that was there before is not taken for the new one", async () => {
  const at = await open([{ on: "POST /volumes", nth: 1, fault: "done-but-500" }]);
  const old = await fetch(`${at.fly.apiBase}/v1/apps/${app}/volumes`, {
    method: "POST",
    body: JSON.stringify({ name: "tvol_acme_1", region: "ord", size_gb: 1 }),
    headers: { authorization: `Bearer ${at.fly.apiToken}` },
  });
  const { id } = (await old.json()) as { id: string };
  const refused = await create(at);
  expect([refused.exitCode, refused.err.includes(`${id} (1 GiB in ord, made `)]).toEqual([7, true]);
  expect((await at.volumes()).length).toBe(1);
  const made = await create(at, "--new-volumes");
  expect(made.exitCode).toBe(0);
  expect(made.err).not.toContain(id);
  expect((await at.volumes()).length).toBe(2);
}, 120_000);

describe("a create that fails leaves nothing behind", () => {
  const faults: readonly (readonly [string, Fault, number])[] = [
    ["POST /volumes", "403", 4],
    ["POST /machines", "403", 4],
    ["POST /machines", "409", 7],
    ["POST /machines", "not-done-500", 6],
    ["GET /machines/*", "403", 4],
  ];
  for (const [on, fault, exitCode] of faults) {
    test(`${on}: ${fault}`, async () => {
      const at = await open([{ on, fault }]);
      const result = await create(at);
      expect([result.exitCode, result.out]).toEqual([exitCode, ""]);
      expect(result.err).toContain("01FAULT-proxy");
      expect([await at.machines(), await at.volumes()]).toEqual([[], []]);
    }, 120_000);
  }

  test("the second machine of two", async () => {
    const at = await open([{ on: "POST /machines", nth: 2, fault: "403" }]);
    const text = templateText.replace("machine_count = 1", "machine_count = 2");
    const template = at.write("two.toml", text);
    const result = await at.admin("tenant", "create", "acme", "--template", template);
    expect(result.exitCode).toBe(4);
    expect([await at.machines(), await at.volumes()]).toEqual([[], []]);
  }, 120_000);

  test("a machine whose init cannot be run", async () => {
    const at = await open([], { entrypoint: ["/nonexistent/init"] });
    const text = templateText.replace(
      "[[machine.config.mounts]]",
      '[machine.config.restart]\npolicy = "no"\n[[machine.config.mounts]]',
    );
    const template = at.write("no-restart.toml", text);
    const words = ["--template", template, "--wait-timeout-secs", "2"];
    const result = await at.admin("tenant", "create", "acme", ...words);
    expect([result.exitCode === 0, result.out]).toEqual([false, ""]);
    expect(result.err).toContain("not started");
    expect([await at.machines(), await at.volumes()]).toEqual([[], []]);
  }, 120_000);
});

/** Just before that call somebody else takes the first of these away. */
const vanishing = async (on: string, kind: "machines" | "volumes"): Promise<AdminStage> => {
  const at: AdminStage = await open();
  const strike = async (): Promise<void> => {
    const [{ id } = { id: "" }] = await at[kind]();
    await fetch(`${at.fly.apiBase}/v1/apps/${app}/${kind}/${id}?force=true`, {
      method: "DELETE",
      headers: { authorization: `Bearer ${at.fly.apiToken}` },
    });
  };
  at.rules.push({ on, nth: 1, fault: "none", strike });
  return at;
};

describe("what vanishes between two calls", () => {
  for (const [on, kind] of [
    ["POST /machines", "volumes"],
    ["GET /machines/*", "machines"],
  ] as const)
    test(`${kind} before ${on}: nothing is made, and nothing left`, async () => {
      const at = await vanishing(on, kind);
      const result = await create(at);
      expect([result.exitCode === 0, result.out]).toEqual([false, ""]);
      expect([await at.machines(), await at.volumes()]).toEqual([[], []]);
    }, 120_000);

  for (const [on, kind] of [
    ["POST /machines/*/cordon", "machines"],
    ["DELETE /machines/*", "machines"],
    ["DELETE /volumes/*", "volumes"],
  ] as const)
    test(`${kind} before ${on}: is as good as deleted`, async () => {
      const at = await vanishing(on, kind);
      await create(at);
      expect((await at.admin("tenant", "delete", "acme", "--yes")).exitCode).toBe(0);
      expect([await at.machines(), await at.volumes()]).toEqual([[], []]);
    }, 120_000);
});

test("what cannot be removed is named, and the exit code is 8", async () => {
  const at = await open([
    { on: "GET /machines/*", fault: "403" },
    { on: "DELETE /machines/*", fault: "403" },
    { on: "DELETE /volumes/*", fault: "403" },
  ]);
  const result = await create(at);
  expect(result.exitCode).toBe(8);
  const [machine] = await at.machines();
  const [volume] = await at.volumes();
  expect(result.err).toContain(`machine ${machine?.id}`);
  expect(result.err).toContain(`volume ${volume?.id}`);
});

test("throttled calls are slowed down and go through", async () => {
  const at = await open([
    { on: "POST /machines", nth: 1, fault: "429" },
    { on: "POST /volumes", nth: 1, fault: "429" },
    { on: "GET /machines", nth: 1, fault: "429" },
  ]);
  expect((await create(at)).exitCode).toBe(0);
  expect((await at.machines()).length).toBe(1);
}, 120_000);

test("Ctrl-C while the machine is made: removed again, exit 130", async () => {
  const interrupts: (() => void)[] = [];
  const strike = () => interrupts.shift()?.();
  const at = await open([{ on: "POST /machines", fault: "answer-lost", strike }]);
  const run = at.start("tenant", "create", "acme", "--template", at.template);
  interrupts.push(() => run.context.stop("SIGINT"));
  expect(await run.exit).toBe(130);
  expect([await at.machines(), await at.volumes()]).toEqual([[], []]);
  expect(run.context.err()).toContain("removed machine");
}, 120_000);

test("a delete that is stopped half-way says what is left, and finishes when run again", async () => {
  const at = await open([{ on: "DELETE /machines/*", nth: 1, fault: "403" }]);
  await create(at);
  const first = await at.admin("tenant", "delete", "acme", "--yes");
  expect(first.exitCode).toBe(8);
  expect(first.err).toContain(`left: machine ${(await at.machines())[0]?.id}`);
  expect((await at.admin("tenant", "delete", "acme", "--yes")).exitCode).toBe(0);
  expect([await at.machines(), await at.volumes()]).toEqual([[], []]);
}, 120_000);

test("an API that is not there is exit 6", async () => {
  const at = await open();
  await at.proxy.close();
  const { exitCode, err } = await at.admin("tenant", "list");
  expect(exitCode).toBe(6);
  expect(err).toContain("could not be reached");
}, 120_000);
