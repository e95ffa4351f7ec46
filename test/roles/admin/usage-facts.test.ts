import { afterEach, expect, test } from "bun:test";
import { parseWindow } from "../../../src/roles/admin/usage-window.ts";
import { readFileSync } from "node:fs";
import { rejection } from "../../support/rejection.ts";
import { type AdminStage, app, openAdminStage } from "./stage.ts";
import { schemaOfUsageFacts } from "./usage-schema.ts";

let stage: AdminStage | undefined;
const open = async (...rules: Parameters<typeof openAdminStage>): Promise<AdminStage> => {
  stage = await openAdminStage(...rules);
  return stage;
};
afterEach(async () => {
  await stage?.close();
  stage = undefined;
}, 120_000);

const create = async (on: AdminStage, tenant: string): Promise<void> => {
  const made = await on.admin("tenant", "create", tenant, "--template", on.template);
  expect(made.exitCode).toBe(0);
};
const call = async (on: AdminStage, method: string, id: string, verb: string): Promise<void> => {
  const url = `${on.fly.apiBase}/v1/apps/${app}/machines/${id}${verb}`;
  const headers = { authorization: `Bearer ${on.fly.apiToken}` };
  expect((await fetch(url, { method, headers })).ok).toBe(true);
};
const facts = async (on: AdminStage, ...words: readonly string[]) => {
  const { exitCode, out, err } = await on.admin("tenant", "usage-facts", ...words);
  expect([exitCode, err]).toEqual([0, expect.any(String)]);
  const answer: unknown = JSON.parse(out);
  expect(schemaOfUsageFacts.problems(answer)).toEqual([]);
  return answer;
};
type Row = Record<string, string> & { readonly volumes?: readonly Record<string, unknown>[] };
const rows = async (on: AdminStage, ...words: readonly string[]) =>
  (await facts(on, ...words)) as readonly Row[];

test("the life of a machine: started, suspended, resumed, stopped, restarted, deleted", async () => {
  const on = await open();
  await create(on, "acme");
  await create(on, "zeta");
  const [machine] = await on.machines();
  const id = machine?.id ?? "";
  const journal = `${on.dir}/usage.jsonl`;
  const now = async (): Promise<Row> => {
    const [row, ...others] = await rows(on, "--tenant", "acme", "--journal", journal);
    expect([row?.["machine_id"], others]).toEqual([id, []]);
    return row ?? {};
  };
  const states: unknown[] = [];
  const look = async (): Promise<void> => {
    const { state, started_at = "", stopped_at = "", deleted_at = "" } = await now();
    states.push([state, started_at > stopped_at, deleted_at > started_at]);
  };
  await look();
  await call(on, "POST", id, "/suspend");
  await call(on, "GET", id, "/wait?state=suspended");
  await look();
  await call(on, "POST", id, "/start");
  await call(on, "GET", id, "/wait?state=started");
  await look();
  await call(on, "POST", id, "/stop");
  await call(on, "GET", id, "/wait?state=stopped");
  await look();
  await call(on, "POST", id, "/start");
  await call(on, "GET", id, "/wait?state=started");
  await look();
  await call(on, "DELETE", id, "?force=true");
  await look();
  expect(states).toEqual([
    ["started", true, false],
    ["suspended", false, false],
    ["started", true, false],
    ["stopped", false, false],
    ["started", true, false],
    ["destroyed", expect.any(Boolean), true],
  ]);
  // The volume has outlived it, with its size.
  expect(await now()).toMatchObject({
    region: "ord",
    metadata: { "fly_vault.tenant_id": "acme" },
    volumes: [{ mount_path: "/data", name: "tvol_acme_1", size_gib: 1 }],
  });
  const document = (await facts(on, "--since", "1h", "--journal", journal)) as {
    data: { intervals: { machine_id: string; state: string; is_ongoing: boolean }[] };
  };
  const own = document.data.intervals.filter(({ machine_id }) => machine_id === id);
  expect(own.map(({ state }) => state).filter((state) => state !== "created")).toEqual([
    "started",
    "suspended",
    "started",
    "stopped",
    "started",
    ...(own.at(-1)?.state === "stopped" ? ["stopped"] : []),
  ]);
  expect(own.some(({ is_ongoing }) => is_ongoing)).toBe(false);
  expect((await rows(on)).length).toBe(2);
  expect(readFileSync(journal, "utf8")).not.toContain("token");
}, 120_000);

test("one tenant's intervals are its own, though the journal knows of others", async () => {
  const on = await open();
  await create(on, "acme");
  await create(on, "acme_2");
  const owners = async (...words: readonly string[]): Promise<unknown> => {
    const answer = (await facts(on, "--since", "1h", ...words)) as {
      data: { intervals: { tenant_id: string }[] };
    };
    return [...new Set(answer.data.intervals.map(({ tenant_id }) => tenant_id))].toSorted();
  };
  expect(await owners()).toEqual(["acme", "acme_2"]);
  expect(await owners("--tenant", "acme")).toEqual(["acme"]);
  const run = on.start(
    "tenant",
    "usage-facts",
    "--listen=127.0.0.1:0",
    "--tenant=acme",
    `--journal=${on.dir}/home/usage-${app}.jsonl`,
  );
  const url = await listening(run.context);
  const served = JSON.stringify(await (await fetch(`${url}?since=1h`)).json());
  run.context.stop("SIGINT");
  expect([await run.exit, served.includes('"acme"'), served.includes('"acme_2"')]).toEqual([
    0,
    true,
    false,
  ]);
});

test("nobody: an empty array, and words beside it", async () => {
  const on = await open();
  const { exitCode, out, err } = await on.admin("tenant", "usage-facts");
  expect([exitCode, out, err]).toEqual([0, "[]\n", `no machines of tenants in app "${app}"\n`]);
});

test("a Fly that refuses: an exit code and no half an answer, over HTTP as well", async () => {
  const refused = { on: "GET /machines", fault: "403" } as const;
  const on = await open([
    { ...refused, nth: 1 },
    { ...refused, nth: 2 },
  ]);
  const once = await on.admin("tenant", "usage-facts", "--json");
  expect([once.exitCode, once.out]).toEqual([4, ""]);
  expect(JSON.parse(once.err)).toMatchObject({ error: { code: "FV-API-002" } });
  const run = on.start("tenant", "usage-facts", "--listen", "127.0.0.1:0");
  const url = await listening(run.context);
  expect(run.context.err()).toContain("warning: everybody on this computer can read the facts");
  const failed = await fetch(url);
  const { error } = (await failed.json()) as { error: string };
  expect([failed.status, error]).toEqual([500, expect.stringContaining("spoiled on purpose: 403")]);
  expect(error).not.toContain(on.fly.apiToken);
  // The failure is shared, too, so that Fly is not asked again and again.
  expect((await fetch(url)).status).toBe(500);
  expect(on.proxy.calls.filter((each) => each === "GET /machines").length).toBe(2);
  run.context.stop("SIGINT");
  expect(await run.exit).toBe(0);
});

test("wrong words: exit 2, a reason, and nothing sent", async () => {
  const on = await open();
  for (const [words, message] of [
    [["--tenant", "Acme"], "is no tenant id"],
    [["--until", "1h"], "--until needs --since"],
    [["--since", "yesterday"], "since takes a time"],
    [["--since", "2026-11-01"], "since takes a time"],
    [["--since", "2026-02-30T00:00:00Z"], "since takes a time"],
    [["--since", "2099-01-01T00:00:00Z"], "not in the future"],
    [["--since", "1h", "--until", "2h"], "before until"],
    [["--since", "1h", "--listen", "127.0.0.1:0"], "callers say ?since"],
    [["--listen", "0.0.0.0:0"], "there is no bearer token"],
    [["--listen", "9090"], "Not an address"],
    [["--listen", "127.0.0.1:0", "--bearer-token", "a b"], "bearer token cannot be used"],
    [["--listen", "0.0.0.0:0", "--bearer-token", "short", "--insecure"], "may be guessed"],
    [["--journal", "/dev/null/x"], "cannot be used"],
  ] as const) {
    const { exitCode, out, err } = await on.admin("tenant", "usage-facts", ...words);
    expect([words, exitCode, out]).toEqual([words, 2, ""]);
    expect(err).toContain(message);
  }
  expect(on.proxy.calls).toEqual([]);
});

test("served over HTTP until stopped, with one look at Fly for all, and with intervals", async () => {
  const on = await open();
  await create(on, "acme");
  on.write("bearer", "a-bearer-of-good-length\n");
  const run = on.start(
    "tenant",
    "usage-facts",
    "--listen=127.0.0.1:0",
    `--bearer-token-file=${on.dir}/bearer`,
    `--journal=${on.dir}/usage.jsonl`,
  );
  const url = await listening(run.context);
  const headers = { authorization: "Bearer a-bearer-of-good-length" };
  const looks = () => on.proxy.calls.filter((each) => each === "GET /machines").length;
  const before = looks();
  const answers = await Promise.all(
    Array.from({ length: 20 }, async () => fetch(url, { headers })),
  );
  for (const answer of answers) {
    expect(answer.status).toBe(200);
    expect(schemaOfUsageFacts.problems(await answer.json())).toEqual([]);
  }
  expect(looks() - before).toBeLessThanOrEqual(1);
  const document = await (await fetch(`${url}?since=1h`, { headers })).json();
  expect(schemaOfUsageFacts.problems(document)).toEqual([]);
  expect(document).toMatchObject({ data: { app, facts: [{ tenant_id: "acme" }] } });
  for (const query of ["since=soon", "since=1h&until=2h"])
    expect((await fetch(`${url}?${query}`, { headers })).status).toBe(400);
  expect((await fetch(url)).status).toBe(401);
  run.context.stop("SIGTERM");
  expect(await run.exit).toBe(0);
  expect(run.context.err()).not.toContain("a-bearer");
  await rejection(fetch(url, { headers }));
});

/** The address that the program names once it listens. */
async function listening(context: { readonly err: () => string }): Promise<string> {
  for (;;) {
    const url = /listening: (\S+)/.exec(context.err())?.[1];
    if (url !== undefined) return url;
    await Bun.sleep(2);
  }
}

test("so long ago may be said with a minus, as times are elsewhere", () => {
  const day = 86_400_000;
  expect(parseWindow("-24h", "-1h", 2 * day)).toEqual({
    sinceMs: day,
    untilMs: 2 * day - 3_600_000,
  });
  expect(parseWindow("24h", undefined, 2 * day)).toEqual({ sinceMs: day, untilMs: 2 * day });
  expect(() => parseWindow("--24h", undefined, day)).toThrow("since takes a time");
});
